/* What every program has: the calls under the names of the system, wherever they lead, and a transcript. */
#ifndef FRAME_H
#define FRAME_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ioth.h>

#ifdef IOTH
#define socket(...) ioth_socket(__VA_ARGS__)
#define close(...) ioth_close(__VA_ARGS__)
#define bind(...) ioth_bind(__VA_ARGS__)
#define connect(...) ioth_connect(__VA_ARGS__)
#define listen(...) ioth_listen(__VA_ARGS__)
#define accept(...) ioth_accept(__VA_ARGS__)
#define accept4(...) ioth_accept4(__VA_ARGS__)
#define getsockname(...) ioth_getsockname(__VA_ARGS__)
#define getpeername(...) ioth_getpeername(__VA_ARGS__)
#define setsockopt(...) ioth_setsockopt(__VA_ARGS__)
#define getsockopt(...) ioth_getsockopt(__VA_ARGS__)
#define shutdown(...) ioth_shutdown(__VA_ARGS__)
#define ioctl(...) ioth_ioctl(__VA_ARGS__)
#define fcntl(...) ioth_fcntl(__VA_ARGS__)
#define read(...) ioth_read(__VA_ARGS__)
#define readv(...) ioth_readv(__VA_ARGS__)
#define recv(...) ioth_recv(__VA_ARGS__)
#define recvfrom(...) ioth_recvfrom(__VA_ARGS__)
#define recvmsg(...) ioth_recvmsg(__VA_ARGS__)
#define recvmmsg(...) ioth_recvmmsg(__VA_ARGS__)
#define write(...) ioth_write(__VA_ARGS__)
#define writev(...) ioth_writev(__VA_ARGS__)
#define send(...) ioth_send(__VA_ARGS__)
#define sendto(...) ioth_sendto(__VA_ARGS__)
#define sendmsg(...) ioth_sendmsg(__VA_ARGS__)
#define sendmmsg(...) ioth_sendmmsg(__VA_ARGS__)
#define sendfile(...) ioth_sendfile(__VA_ARGS__)
#define poll(...) ioth_poll(__VA_ARGS__)
#define ppoll(...) ioth_ppoll(__VA_ARGS__)
#define select(...) ioth_select(__VA_ARGS__)
#define pselect(...) ioth_pselect(__VA_ARGS__)
#define epoll_create(...) ioth_epoll_create(__VA_ARGS__)
#define epoll_create1(...) ioth_epoll_create1(__VA_ARGS__)
#define epoll_ctl(...) ioth_epoll_ctl(__VA_ARGS__)
#define epoll_wait(...) ioth_epoll_wait(__VA_ARGS__)
#define epoll_pwait(...) ioth_epoll_pwait(__VA_ARGS__)
#define getaddrinfo(...) ioth_getaddrinfo(__VA_ARGS__)
#define freeaddrinfo(...) ioth_freeaddrinfo(__VA_ARGS__)
#define gai_strerror(...) ioth_gai_strerror(__VA_ARGS__)
#define getnameinfo(...) ioth_getnameinfo(__VA_ARGS__)
#define gethostbyname(...) ioth_gethostbyname(__VA_ARGS__)
#define gethostbyname2(...) ioth_gethostbyname2(__VA_ARGS__)
#define gethostbyaddr(...) ioth_gethostbyaddr(__VA_ARGS__)
#endif

/* Notes what a call returned, and why it failed. */
static inline long note(const char *what, long result) {
  int why = errno;
  if (result == -1)
    printf("%s: -1, %s\n", what, strerrorname_np(why));
  else
    printf("%s: %ld\n", what, result);
  errno = why;
  return result;
}
#define NOTE(call) note(#call, (long)(call))

/* What must succeed and is the same everywhere. */
static inline int must_be(const char *what, int result) {
  if (result == -1) {
    printf("%s failed: %s\n", what, strerrorname_np(errno));
    exit(1);
  }
  return result;
}
#define MUST(call) must_be(#call, (int)(call))

static inline struct sockaddr_in local(int port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}
#define ADDRESS(of) ((struct sockaddr *)&(of))

/* Not every program needs everything. */
static inline void show(const char *what, const struct sockaddr_in *address, socklen_t len) {
  printf("%s: family %d, %s, length %u\n", what, address->sin_family, inet_ntoa(address->sin_addr), (unsigned)len);
}

/* A connection: pair[0] connected to pair[1]. */
static inline void connected(int port, int pair[2]) {
  struct sockaddr_in address = local(port);
  int listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
  MUST(bind(listener, ADDRESS(address), sizeof address));
  MUST(listen(listener, 5));
  pair[0] = MUST(socket(AF_INET, SOCK_STREAM, 0));
  MUST(connect(pair[0], ADDRESS(address), sizeof address));
  pair[1] = MUST(accept(listener, NULL, NULL));
  MUST(close(listener));
}

/* Two datagram sockets at two ports. */
static inline void datagrams(int port, int pair[2]) {
  for (int side = 0; side < 2; side++) {
    struct sockaddr_in address = local(port + side);
    pair[side] = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    MUST(bind(pair[side], ADDRESS(address), sizeof address));
  }
}

#ifndef OWN_MAIN
static void run(void);

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
#ifdef IOTH
  struct ioth *stack = ioth_newstack(getenv("IOTH_STACK"), getenv("IOTH_VNL"));
  if (stack == NULL) {
    perror("ioth_newstack");
    return 1;
  }
  ioth_set_defstack(stack);
#endif
  run();
#ifdef IOTH
  if (ioth_delstack(stack) != 0) {
    perror("ioth_delstack");
    return 1;
  }
#endif
  puts("end");
  return 0;
}
#endif

#endif
