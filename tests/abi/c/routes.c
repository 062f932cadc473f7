/* Addresses and routes by numbers, on the interface vde0 of any stack: what there is already, what there is not, what can
 * not be reached. */
#include "frame.h"

static void run(void) {
  struct ioth *stack = ioth_get_defstack();
  struct in_addr own, gateway, net, far;
  struct in6_addr own6, gateway6, net6;
  unsigned char mac[6] = {0};
  int index = (int)ioth_if_nametoindex(stack, "vde0");
  inet_pton(AF_INET, "10.0.0.1", &own);
  inet_pton(AF_INET, "10.0.0.254", &gateway);
  inet_pton(AF_INET, "10.9.0.0", &net);
  inet_pton(AF_INET, "192.0.2.1", &far);
  inet_pton(AF_INET6, "fd00::1", &own6);
  inet_pton(AF_INET6, "fd00::9", &gateway6);
  inet_pton(AF_INET6, "2001:db8::", &net6);
  printf("%d\n", index > 0);
  errno = 0;
  NOTE(ioth_if_nametoindex(stack, "nothing"));
  printf("%s\n", strerrorname_np(errno));
  NOTE(ioth_linksetupdown(stack, (unsigned)index, 1));
  NOTE(ioth_linksetupdown(stack, 4711, 1));
  NOTE(ioth_linkgetaddr(stack, (unsigned)index, mac));
  printf("%d\n", mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5] ? 1 : 0);
  NOTE(ioth_linkgetaddr(stack, 4711, mac));
  NOTE(ioth_linksetmtu(stack, (unsigned)index, 1400));
  NOTE(ioth_linksetmtu(stack, (unsigned)index, 7));
  NOTE(ioth_linksetmtu(stack, 4711, 1400));

  NOTE(ioth_ipaddr_add(stack, AF_INET, &own, 24, index));
  NOTE(ioth_ipaddr_add(stack, AF_INET, &own, 24, index));
  NOTE(ioth_ipaddr_add(stack, AF_INET, &own, 33, index));
  NOTE(ioth_ipaddr_add(stack, AF_INET, &own, 24, 4711));
  NOTE(ioth_ipaddr_add(stack, AF_INET6, &own6, 64, index));
  NOTE(ioth_ipaddr_add(stack, AF_INET6, &own6, 64, index));
  NOTE(ioth_ipaddr_del(stack, AF_INET, &far, 24, index));

  NOTE(ioth_iproute_add(stack, AF_INET, NULL, 0, &gateway, 0));
  NOTE(ioth_iproute_add(stack, AF_INET, NULL, 0, &gateway, 0));
  NOTE(ioth_iproute_add(stack, AF_INET, &net, 16, &far, 0));
  NOTE(ioth_iproute_add(stack, AF_INET, &net, 16, &gateway, index));
  NOTE(ioth_iproute_add(stack, AF_INET, &net, 33, &gateway, 0));
  NOTE(ioth_iproute_del(stack, AF_INET, &net, 16, &gateway, index));
  NOTE(ioth_iproute_del(stack, AF_INET, &net, 16, &gateway, index));
  NOTE(ioth_iproute_add(stack, AF_INET, &net, 16, NULL, index));
  NOTE(ioth_iproute_add(stack, AF_INET, &net, 16, NULL, 4711));
  NOTE(ioth_iproute_del(stack, AF_INET, &net, 16, NULL, index));
  NOTE(ioth_iproute_del(stack, AF_INET, NULL, 0, &gateway, 0));
  NOTE(ioth_iproute_del(stack, AF_INET, NULL, 0, &gateway, 0));
  NOTE(ioth_iproute_add(stack, AF_INET6, &net6, 32, &gateway6, index));
  NOTE(ioth_iproute_del(stack, AF_INET6, &net6, 32, &gateway6, index));
  NOTE(ioth_iproute_del(stack, AF_INET6, &net6, 32, &gateway6, index));

  NOTE(ioth_ipaddr_del(stack, AF_INET, &own, 24, index));
  NOTE(ioth_ipaddr_del(stack, AF_INET, &own, 24, index));
  NOTE(ioth_ipaddr_del(stack, AF_INET6, &own6, 64, index));
  NOTE(ioth_iproute_add(stack, AF_INET, NULL, 0, &gateway, 0));
}
