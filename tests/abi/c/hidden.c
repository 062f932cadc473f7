/* Sockets of a stack tell of the stack's interfaces, whatever became of them, and never of those of the host, of which one
 * is called host0. */
#include "frame.h"
#include <linux/sockios.h>
#include <net/if.h>

static int ask(int fd, const char *name, unsigned long request) {
  struct ifreq wanted;
  memset(&wanted, 0, sizeof wanted);
  strcpy(wanted.ifr_name, name);
  wanted.ifr_flags = IFF_UP;
  return ioctl(fd, request, &wanted) == 0 ? 0 : errno;
}

static int listed(int fd) {
  struct ifreq found[8];
  struct ifconf conf = {.ifc_len = sizeof found};
  conf.ifc_req = found;
  if (ioctl(fd, SIOCGIFCONF, &conf) != 0)
    return -errno;
  for (int i = 0; i < conf.ifc_len / (int)sizeof *found; i++)
    if (strcmp(found[i].ifr_name, "host0") == 0)
      return -1;
  return conf.ifc_len / (int)sizeof *found;
}

#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      printf("line %d: " #condition ", errno %s\n", __LINE__, strerrorname_np(errno));                                 \
      _exit(1);                                                                                                        \
    }                                                                                                                  \
  } while (0)

static void run(void) {
  struct sockaddr_in to = local(7000);
  int kinds[5], pair[2], status;
  char buffer[8];
  pid_t child;
  connected(7100, pair);
  kinds[0] = MUST(socket(AF_INET, SOCK_DGRAM, 0));
  kinds[1] = MUST(socket(AF_INET6, SOCK_STREAM, 0));
  kinds[2] = MUST(socket(AF_NETLINK, SOCK_RAW, 0));
  kinds[3] = MUST(socket(AF_PACKET, SOCK_RAW, 0));
  /* Over: what was not read makes its close a reset. */
  MUST(send(pair[0], "unread", 6, 0));
  MUST(recv(pair[1], buffer, 1, 0));
  MUST(close(pair[1]));
  EXPECT(recv(pair[0], buffer, 1, 0) == -1 && errno == ECONNRESET);
  kinds[4] = pair[0];
  fflush(stdout);
  for (int i = 0; i < 5; i++) {
    EXPECT(ask(kinds[i], "vde0", SIOCGIFINDEX) == 0);
    EXPECT(ask(kinds[i], "vde0", SIOCGIFFLAGS) == 0);
    EXPECT(ask(kinds[i], "vde0", SIOCSIFFLAGS) == 0);
    EXPECT(ask(kinds[i], "host0", SIOCGIFINDEX) == ENODEV);
    EXPECT(ask(kinds[i], "host0", SIOCSIFFLAGS) == ENODEV);
    EXPECT(ask(kinds[i], "host0", SIOCETHTOOL) == ENOTTY);
    EXPECT(listed(kinds[i]) == 2);
  }
  EXPECT(ask(kinds[2], "vde0", SIOCGIFADDR) == ENOTTY);
  EXPECT(ask(kinds[3], "vde0", SIOCGIFADDR) == 0);
  EXPECT(sendto(kinds[0], "x", 1, MSG_DONTWAIT, ADDRESS(to), sizeof to) == 1);
  child = fork();
  if (child == 0) {
    for (int i = 0; i < 5; i++) {
      EXPECT(ask(kinds[i], "vde0", SIOCGIFINDEX) == ENETDOWN);
      EXPECT(ask(kinds[i], "host0", SIOCGIFINDEX) == ENETDOWN);
      EXPECT(ask(kinds[i], "host0", SIOCSIFFLAGS) == ENETDOWN);
      EXPECT(listed(kinds[i]) == -ENETDOWN);
    }
    _exit(7);
  }
  if (waitpid(child, &status, 0) != child)
    exit(1);
  EXPECT(WEXITSTATUS(status) == 7);
  for (int i = 0; i < 5; i++)
    MUST(close(kinds[i]));
}
