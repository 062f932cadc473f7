/* ioctl(2) about interfaces, netdevice(7): what the interface vde0 is, and what is made of it. */
#include "frame.h"
#include <net/if.h>
#include <net/if_arp.h>

static struct ifreq request;

static int ask(int fd, const char *what, const char *name, unsigned long number) {
  int result;
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  result = ioctl(fd, number, &request);
  note(what, result);
  return result;
}
#define ASK(fd, number) ask(fd, #number, "vde0", number)

static void address(const char *what, int fd, unsigned long number) {
  struct sockaddr_in *found = (struct sockaddr_in *)&request.ifr_addr;
  memset(&request, 0, sizeof request);
  if (ask(fd, what, "vde0", number) == 0)
    show(what, found, sizeof *found);
}

static void set(const char *what, int fd, unsigned long number, const char *value) {
  struct sockaddr_in *wanted = (struct sockaddr_in *)&request.ifr_addr;
  memset(&request, 0, sizeof request);
  wanted->sin_family = AF_INET;
  inet_pton(AF_INET, value, &wanted->sin_addr);
  ask(fd, what, "vde0", number);
}

static void flags(int fd) {
  memset(&request, 0, sizeof request);
  if (ASK(fd, SIOCGIFFLAGS) == 0)
    printf("up %d, broadcast %d, multicast %d, loopback %d\n", !!(request.ifr_flags & IFF_UP),
           !!(request.ifr_flags & IFF_BROADCAST), !!(request.ifr_flags & IFF_MULTICAST),
           !!(request.ifr_flags & IFF_LOOPBACK));
}

static void list(int fd, struct ifreq *place, int room) {
  struct ifconf conf = {.ifc_len = room};
  conf.ifc_req = place;
  NOTE(ioctl(fd, SIOCGIFCONF, &conf));
  printf("%d of %d:", conf.ifc_len, room);
  for (int i = 0; place && i < conf.ifc_len / (int)sizeof *place; i++)
    printf(" %s %s", place[i].ifr_name, inet_ntoa(((struct sockaddr_in *)&place[i].ifr_addr)->sin_addr));
  puts("");
}

static void run(void) {
  struct ifreq found[4];
  int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0)), stream = MUST(socket(AF_INET, SOCK_STREAM, 0)), value;
  int six = MUST(socket(AF_INET6, SOCK_DGRAM, 0)), route = MUST(socket(AF_NETLINK, SOCK_RAW, 0));
  int index;

  /* There is no address yet. */
  address("address", fd, SIOCGIFADDR);
  address("mask", fd, SIOCGIFNETMASK);
  set("mask", fd, SIOCSIFNETMASK, "255.255.0.0");
  list(fd, found, sizeof found);
  set("address", fd, SIOCSIFADDR, "10.0.0.1");
  address("address", fd, SIOCGIFADDR);
  address("mask", fd, SIOCGIFNETMASK);
  set("mask", fd, SIOCSIFNETMASK, "255.255.255.0");
  set("mask", fd, SIOCSIFNETMASK, "255.0.255.0");
  address("address", stream, SIOCGIFADDR);
  address("mask", stream, SIOCGIFNETMASK);
  address("broadcast", stream, SIOCGIFBRDADDR);
  address("other end", stream, SIOCGIFDSTADDR);
  address("of IPv6", six, SIOCGIFADDR);
  address("of netlink", route, SIOCGIFADDR);
  set("another", stream, SIOCSIFADDR, "172.16.0.1");
  address("address", fd, SIOCGIFADDR);
  address("mask", fd, SIOCGIFNETMASK);
  set("a group", fd, SIOCSIFADDR, "224.0.0.1");

  list(fd, found, sizeof found);
  list(six, found, sizeof found);
  list(route, found, sizeof found);
  list(fd, NULL, 0);
  list(fd, found, sizeof *found - 1);
  list(fd, found, sizeof *found + 1);
  NOTE(ioctl(fd, SIOCGIFCONF, NULL));
  set("none", fd, SIOCSIFADDR, "0.0.0.0");
  address("address", fd, SIOCGIFADDR);
  list(fd, found, sizeof found);

  flags(fd);
  request.ifr_flags &= (short)~IFF_UP;
  ASK(stream, SIOCSIFFLAGS);
  flags(six);
  request.ifr_flags |= IFF_UP;
  ASK(route, SIOCSIFFLAGS);
  flags(route);

  ASK(fd, SIOCGIFINDEX);
  index = request.ifr_ifindex;
  memset(&request, 0, sizeof request);
  request.ifr_ifindex = index;
  NOTE(ioctl(stream, SIOCGIFNAME, &request));
  puts(request.ifr_name);
  request.ifr_ifindex = 4711;
  NOTE(ioctl(stream, SIOCGIFNAME, &request));
  ASK(six, SIOCGIFMTU);
  printf("%d\n", request.ifr_mtu);
  request.ifr_mtu = 1400;
  ASK(six, SIOCSIFMTU);
  request.ifr_mtu = 7;
  ASK(fd, SIOCSIFMTU);
  request.ifr_mtu = -1;
  ASK(fd, SIOCSIFMTU);
  ASK(fd, SIOCGIFMTU);
  printf("%d\n", request.ifr_mtu);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  memcpy(request.ifr_hwaddr.sa_data, "\x02\x01\x02\x03\x04\x05", 6);
  ASK(fd, SIOCSIFHWADDR);
  memset(&request, 0, sizeof request);
  ASK(six, SIOCGIFHWADDR);
  printf("%d, %02x\n", request.ifr_hwaddr.sa_family, (unsigned char)request.ifr_hwaddr.sa_data[5]);
  request.ifr_hwaddr.sa_family = ARPHRD_LOOPBACK;
  ASK(fd, SIOCSIFHWADDR);
  ASK(fd, SIOCGIFMETRIC);
  printf("%d\n", request.ifr_metric);
  ASK(fd, SIOCGIFTXQLEN);
  printf("%d\n", request.ifr_qlen);
  ask(fd, "of lo", "lo", SIOCGIFHWADDR);
  printf("%d\n", request.ifr_hwaddr.sa_family);

  ask(fd, "no such one", "vde7", SIOCGIFFLAGS);
  ask(fd, "no such one", "vde7", SIOCSIFMTU);
  ask(fd, "no such one", "", SIOCGIFMTU);
  NOTE(ioctl(fd, SIOCGIFFLAGS, NULL));
  NOTE(ioctl(fd, TIOCGWINSZ, &request));
  NOTE(ioctl(route, FIONREAD, &value));
  MUST(close(fd));
  MUST(close(stream));
  MUST(close(six));
  MUST(close(route));
}
