/* Options: values, rooms that are too small, what there is not. */
#include "frame.h"

static void get(const char *what, int fd, int level, int name, socklen_t room) {
  unsigned char value[16];
  socklen_t len = room;
  memset(value, 0xee, sizeof value);
  if (note(what, getsockopt(fd, level, name, value, &len)) == 0)
    printf("length %u: %02x %02x %02x %02x %02x\n", (unsigned)len, value[0], value[1], value[2], value[3], value[4]);
}
#define GET(fd, level, name, room) get(#name " " #room, fd, level, name, room)

static void run(void) {
  int pair[2], on = 1, off = 0, listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
  struct linger linger = {1, 5};
  struct timeval time = {1, 500000}, bad = {1, 1000000};
  socklen_t len = sizeof on;
  connected(7000, pair);
  GET(pair[0], SOL_SOCKET, SO_TYPE, 4);
  GET(pair[0], SOL_SOCKET, SO_DOMAIN, 16);
  GET(pair[0], SOL_SOCKET, SO_PROTOCOL, 1);
  GET(pair[0], SOL_SOCKET, SO_ERROR, 0);
  GET(pair[0], SOL_SOCKET, SO_TYPE, (socklen_t)-1);
  GET(listener, SOL_SOCKET, SO_ACCEPTCONN, 4);
  NOTE(listen(listener, 1));
  GET(listener, SOL_SOCKET, SO_ACCEPTCONN, 4);
  NOTE(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  GET(pair[0], IPPROTO_TCP, TCP_NODELAY, 4);
  NOTE(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &off, 2));
  NOTE(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, NULL, sizeof on));
  NOTE(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &on, (socklen_t)-1));
  NOTE(setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  GET(pair[0], SOL_SOCKET, SO_LINGER, 8);
  NOTE(setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, 4));
  NOTE(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
  GET(pair[0], SOL_SOCKET, SO_RCVTIMEO, 16);
  NOTE(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof bad));
  NOTE(setsockopt(pair[0], IPPROTO_TCP, 4711, &on, sizeof on));
  NOTE(setsockopt(pair[0], 4711, 1, &on, sizeof on));
  GET(pair[0], IPPROTO_TCP, 4711, 4);
  GET(pair[0], IPPROTO_IP, IP_TTL, 4);
  NOTE(setsockopt(pair[0], IPPROTO_IP, IP_TTL, &off, sizeof off));
  NOTE(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, NULL, &len));
  NOTE(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &on, NULL));
  linger.l_onoff = 0;
  NOTE(setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  close(pair[0]);
  close(pair[1]);
  close(listener);
}
