/* Stacks: made in every way, defaults of the process and of threads, what is no stack, what is still in use. */
#define OWN_MAIN
#include "frame.h"
#include <linux/rtnetlink.h>
#include <net/if.h>

#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      printf("line %d: " #condition ", errno %s\n", __LINE__, strerrorname_np(errno));                                 \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)
#define FAILS(call, why) EXPECT((call) == -1 && errno == (why))
#define NO_STACK(call, why) EXPECT((call) == NULL && errno == (why))

static struct ioth *red, *blue;

static void *elsewhere(void *seen) {
  EXPECT(ioth_get_defstack() == red);
  EXPECT(ioth_set_defstack_thread(blue) == 0);
  EXPECT(ioth_get_defstack() == blue);
  FAILS(ioth_set_defstack_thread((struct ioth *)0x1234), EINVAL);
  EXPECT(ioth_set_defstack_thread(NULL) == 0);
  EXPECT(ioth_get_defstack() == red);
  EXPECT(ioth_set_defstack_thread(blue) == 0);
  return seen;
}

static int reaches(struct ioth *from, const char *address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  inet_pton(AF_INET, address, &to.sin_addr);
  int fd = ioth_msocket(from, AF_INET, SOCK_STREAM, 0);
  EXPECT(fd >= 0);
  int result = connect(fd, ADDRESS(to), sizeof to);
  int why = errno;
  EXPECT(close(fd) == 0);
  errno = why;
  return result;
}

static void lifecycle(void) {
  pthread_t thread;
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7000)};
  struct ioth *many, *kernel;
  const char *vnls[] = {"switch://abi", "lan:switch://abi2", "switch://abi3", NULL};

  NO_STACK(ioth_newstack("no such stack", NULL), ENOENT);
  NO_STACK(ioth_newstack("smoltcp", "no such link"), EINVAL);
  NO_STACK(ioth_newstack("smoltcp,no such key", NULL), EINVAL);
  NO_STACK(ioth_newstack("smoltcp", "tap://no-such-tap0"), ENODEV);
  NO_STACK(ioth_newstack((char *)8, NULL), EFAULT);
  NO_STACK(ioth_newstack(NULL, "switch://abi"), EINVAL);
  NO_STACK(ioth_newstackc("ip=10.0.0.1/24"), EOPNOTSUPP);
  FAILS(ioth_delstack(NULL), EINVAL);
  FAILS(ioth_delstack((struct ioth *)0xdead), EINVAL);
  FAILS(ioth_msocket((struct ioth *)&many, AF_INET, SOCK_STREAM, 0), EINVAL);

  red = ioth_newstackc("stack=smoltcp,vnl=switch://abi,ip=10.0.0.1/24,dns=10.0.0.9,domain=lab");
  blue = ioth_newstack("smoltcp,ip=10.0.0.2/24", "switch://abi");
  many = ioth_newstackv("smoltcp", vnls);
  kernel = ioth_newstack("", NULL);
  EXPECT(red != NULL && blue != NULL && many != NULL && kernel != NULL);
  EXPECT(ioth_if_nametoindex(many, "lo") == 1);
  EXPECT(ioth_if_nametoindex(many, "vde0") == 2);
  EXPECT(ioth_if_nametoindex(many, "lan") == 3);
  EXPECT(ioth_if_nametoindex(many, "vde2") == 4);
  EXPECT(ioth_if_nametoindex(many, "vde1") == 0 && errno == ENODEV);
  EXPECT(ioth_delstack(many) == 0);
  FAILS(ioth_delstack(many), EINVAL);
  /* More than there are registers for arguments. */
  many = ioth_newstackl("smoltcp", "a:switch://a", "b:switch://b", "c:switch://c", "d:switch://d", "e:switch://e",
                        "f:switch://f", "g:switch://g", "h:switch://h", (char *)NULL);
  for (unsigned i = 0; i < 8; i++) {
    char name[] = {(char)('a' + i), 0};
    EXPECT(ioth_if_nametoindex(many, name) == i + 2);
  }
  EXPECT(ioth_if_nametoindex(many, "vde8") == 0);
  EXPECT(ioth_delstack(many) == 0);
  many = ioth_newstackl("smoltcp", NULL, (char *)NULL);
  EXPECT(many != NULL && ioth_if_nametoindex(many, "vde0") == 0);
  EXPECT(ioth_delstack(many) == 0);

  int listener = ioth_msocket(red, AF_INET, SOCK_STREAM, 0);
  EXPECT(bind(listener, ADDRESS(any), sizeof any) == 0 && listen(listener, 5) == 0);
  FAILS(ioth_delstack(red), EBUSY);
  EXPECT(reaches(blue, "10.0.0.1", 7000) == 0);
  FAILS(reaches(kernel, "127.0.0.1", 7000), ECONNREFUSED);
  FAILS(reaches(NULL, "127.0.0.1", 7000), ECONNREFUSED);

  EXPECT(ioth_get_defstack() == NULL);
  ioth_set_defstack(red);
  ioth_set_defstack((struct ioth *)0x1234);
  EXPECT(ioth_get_defstack() == red);
  EXPECT(pthread_create(&thread, NULL, elsewhere, NULL) == 0 && pthread_join(thread, NULL) == 0);
  EXPECT(ioth_get_defstack() == red);

  /* A copy keeps it busy, and a child does. */
  int copy = dup(listener), ends[2];
  EXPECT(close(listener) == 0);
  FAILS(ioth_delstack(red), EBUSY);
  EXPECT(pipe(ends) == 0);
  pid_t child = fork();
  if (child == 0) {
    char byte;
    (read)(ends[0], &byte, 1);
    _exit(ioth_get_defstack() == red && ioth_msocket(red, AF_INET, SOCK_STREAM, 0) == -1 && errno == ENETDOWN ? 7 : 1);
  }
  EXPECT((close)(copy) == 0);
  FAILS(ioth_delstack(red), EBUSY);
  int status;
  EXPECT((write)(ends[1], "x", 1) == 1 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
  EXPECT(ioth_delstack(red) == 0);
  EXPECT(ioth_get_defstack() == NULL);
  EXPECT(ioth_delstack(blue) == 0);
  EXPECT(ioth_delstack(kernel) == 0);
}

static int is_up(struct ioth *stack) {
  struct ifreq request = {.ifr_name = "vde0"};
  int fd = ioth_msocket(stack, AF_INET, SOCK_DGRAM, 0);
  EXPECT(ioth_ioctl(fd, SIOCGIFFLAGS, &request) == 0 && ioth_close(fd) == 0);
  return request.ifr_flags & IFF_UP;
}

static void configuration(void) {
  struct ioth *stack = ioth_newstackc("stack=smoltcp,vnl=switch://abi,mac=80:01:02:03:04:05,dns=10.0.0.9,domain=lab");
  struct in_addr own, gateway, net;
  struct in6_addr six = IN6ADDR_LOOPBACK_INIT;
  struct ifaddrs *list;
  unsigned char mac[6];
  char text[MAC_ADDRSTRLEN];
  int index, found = 0;
  EXPECT(stack != NULL && (index = (int)ioth_if_nametoindex(stack, "vde0")) == 2);
  inet_pton(AF_INET, "10.0.0.1", &own);
  inet_pton(AF_INET, "10.0.0.254", &gateway);
  inet_pton(AF_INET, "10.9.0.0", &net);
  inet_pton(AF_INET6, "fd00::1", &six);

  EXPECT(ioth_linksetupdown(stack, 2, 1) == 0);
  FAILS(ioth_linksetupdown(stack, 9, 1), ENODEV);
  EXPECT(ioth_linkgetaddr(stack, 2, mac) == 0);
  EXPECT(ioth_ntomac(mac, text, sizeof text) == text && strcmp(text, "80:01:02:03:04:05") == 0);
  EXPECT(ioth_ntomac(mac, text, 17) == NULL && errno == ENOSPC);
  EXPECT(ioth_macton("80:01:02:03:04:06", mac) == 1 && mac[5] == 6 && ioth_macton("x", mac) == 0);
  EXPECT(ioth_linksetaddr(stack, 2, mac) == 0 && ioth_linkgetaddr(stack, 2, mac) == 0 && mac[5] == 6);
  EXPECT(ioth_linksetupdown(stack, 2, 0) == 0 && ioth_linksetupdown(stack, 2, 1) == 0);
  EXPECT(ioth_linksetmtu(stack, 2, 1400) == 0);
  FAILS(ioth_linksetmtu(stack, 2, 7), EINVAL);

  FAILS(ioth_iproute_add(stack, AF_INET, NULL, 0, &gateway, 0), ENETUNREACH);
  EXPECT(ioth_ipaddr_add(stack, AF_INET, &own, 24, 2) == 0);
  FAILS(ioth_ipaddr_add(stack, AF_INET, &own, 24, 2), EEXIST);
  FAILS(ioth_ipaddr_add(stack, AF_INET, &own, 33, 2), EINVAL);
  FAILS(ioth_ipaddr_add(stack, 4711, &own, 24, 2), EAFNOSUPPORT);
  FAILS(ioth_ipaddr_add(stack, AF_INET, NULL, 24, 2), EFAULT);
  FAILS(ioth_ipaddr_add(stack, AF_INET, &own, 24, 9), ENODEV);
  EXPECT(ioth_ipaddr_add(stack, AF_INET6, &six, 64, 2) == 0);
  EXPECT(ioth_iproute_add(stack, AF_INET, NULL, 0, &gateway, 0) == 0);
  FAILS(ioth_iproute_add(stack, AF_INET, NULL, 0, &gateway, 0), EEXIST);
  EXPECT(ioth_iproute_add(stack, AF_INET, &net, 16, &gateway, 0) == 0);
  EXPECT(ioth_iproute_del(stack, AF_INET, &net, 16, &gateway, 0) == 0);
  FAILS(ioth_iproute_del(stack, AF_INET, &net, 16, &gateway, 0), ESRCH);
  EXPECT(ioth_iproute_add(stack, AF_INET, &net, 16, NULL, 2) == 0);
  EXPECT(ioth_iproute_del(stack, AF_INET, &net, 16, NULL, 2) == 0);
  EXPECT(ioth_iproute_del(stack, AF_INET, NULL, 0, &gateway, 0) == 0);
  EXPECT(ioth_config(stack, "ip=10.0.7.1/24,-ip=10.0.7.1/24,ip=10.0.8.1/24") == IOTH_CONFIG_STATIC);
  EXPECT(ioth_config(stack, "ifindex=2,ip=10.0.9.1/24") == IOTH_CONFIG_STATIC);
  FAILS(ioth_config(stack, "ifindex=7,ip=10.0.9.1/24"), ENODEV);
  FAILS(ioth_config(stack, "nonsense=1"), EINVAL);
  EXPECT(ioth_config(stack, "mac=80:01:02:03:04:07") == IOTH_CONFIG_ETH && ioth_linkgetaddr(stack, 2, mac) == 0 && mac[5] == 7);
  FAILS(ioth_config(stack, "mac=80:01:02:03:04:08,nonsense=1"), EINVAL);
  FAILS(ioth_config(stack, "mac=80:01"), EINVAL);
  EXPECT(ioth_linkgetaddr(stack, 2, mac) == 0 && mac[5] == 7);
  EXPECT(ioth_config(stack, "-eth") == IOTH_CONFIG_ETH && !is_up(stack));
  EXPECT(ioth_config(stack, "eth,fqdn=host.lab") == IOTH_CONFIG_ETH && is_up(stack));
  EXPECT(ioth_linkgetaddr(stack, 2, mac) == 0 && mac[0] == 2);
  FAILS(ioth_config(NULL, "ip=10.0.9.1/24"), EOPNOTSUPP);

  // It was down meanwhile, which takes addresses of IPv6 away.
  EXPECT(ioth_ipaddr_add(stack, AF_INET6, &six, 64, 2) == 0);
  EXPECT(ioth_getifaddrs(stack, &list) == 0);
  for (struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
    if (strcmp(entry->ifa_name, "vde0") == 0 && entry->ifa_addr->sa_family == AF_INET) {
      struct sockaddr_in *address = (struct sockaddr_in *)entry->ifa_addr;
      struct sockaddr_in *mask = (struct sockaddr_in *)entry->ifa_netmask;
      struct sockaddr_in *all = (struct sockaddr_in *)entry->ifa_broadaddr;
      found += address->sin_addr.s_addr == own.s_addr && mask->sin_addr.s_addr == htonl(0xffffff00) &&
               all->sin_addr.s_addr == htonl(0x0a0000ff);
    }
    found += strcmp(entry->ifa_name, "vde0") == 0 && entry->ifa_addr->sa_family == AF_PACKET;
    found += entry->ifa_addr->sa_family == AF_INET6 &&
             memcmp(&((struct sockaddr_in6 *)entry->ifa_addr)->sin6_addr, &six, sizeof six) == 0;
  }
  ioth_freeifaddrs(list);
  EXPECT(found == 3);
  EXPECT(ioth_getifaddrs(NULL, &list) == 0 && list != NULL && strcmp(list->ifa_name, "lo") == 0);
  ioth_freeifaddrs(list);
  FAILS(ioth_getifaddrs(stack, NULL), EFAULT);

  struct nl_iplink_data data = {1, sizeof "switch://abi2", "switch://abi2"};
  EXPECT(ioth_iplink_add(stack, "lan", 0, "vde", &data, 1) == 3);
  FAILS(ioth_iplink_add(stack, "lan", 0, "vde", &data, 1), EEXIST);
  FAILS(ioth_iplink_add(stack, "tun", 0, "bridge", &data, 1), EOPNOTSUPP);
  EXPECT(ioth_ipaddr_add(stack, AF_INET, &gateway, 32, 3) == 0 && ioth_ipaddr_del(stack, AF_INET, &gateway, 32, 3) == 0);
  FAILS(ioth_ipaddr_del(stack, AF_INET, &gateway, 32, 3), EADDRNOTAVAIL);
  EXPECT(ioth_iplink_del(stack, "lan", 0) == 0);
  FAILS(ioth_iplink_del(stack, "lan", 0), ENODEV);
  EXPECT(ioth_ipaddr_del(stack, AF_INET, &own, 24, 2) == 0);

  /* A message for the stack does not reach the kernel, whose interface 1 is lo. */
  struct {
    struct nlmsghdr header;
    struct ifaddrmsg address;
    struct rtattr attribute;
    struct in_addr value;
  } message = {{sizeof message, RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE, 1, 0},
               {AF_INET, 24, 0, 0, 1},
               {sizeof message.attribute + 4, IFA_LOCAL},
               {htonl(0x0a4d0001)}};
  EXPECT(ioth_nldialog(stack, &message) == 0);
  FAILS(ioth_ipaddr_add(stack, AF_INET, &message.value, 24, 1), EEXIST);
  message.header.nlmsg_len = 3;
  FAILS(ioth_nldialog(stack, &message), EINVAL);
  FAILS(ioth_nldialog(stack, NULL), EFAULT);
  EXPECT(ioth_getifaddrs(NULL, &list) == 0);
  for (struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next)
    EXPECT(entry->ifa_addr == NULL || entry->ifa_addr->sa_family != AF_INET ||
           ((struct sockaddr_in *)entry->ifa_addr)->sin_addr.s_addr != htonl(0x0a4d0001));
  ioth_freeifaddrs(list);
  message.header.nlmsg_len = sizeof message;
  EXPECT(ioth_nldialog(NULL, &message) == 0);

  char *resolv = ioth_resolvconf(stack, NULL);
  EXPECT(resolv != NULL && strcmp(resolv, "nameserver 10.0.0.9\nsearch lab\n") == 0);
  free(resolv);
  EXPECT(ioth_delstack(stack) == 0);
}

int main(void) {
  lifecycle();
  configuration();
  puts("end");
  return 0;
}
