/* shutdown, both directions, before and after; resets. */
#include "frame.h"

static void run(void) {
  int pair[2], error;
  socklen_t len = sizeof error;
  char buffer[10];
  struct linger reset = {1, 0};
  connected(7000, pair);
  NOTE(shutdown(pair[0], -1));
  NOTE(shutdown(pair[0], SHUT_RD));
  NOTE(read(pair[0], buffer, sizeof buffer));
  NOTE(write(pair[0], "still", 5));
  NOTE(read(pair[1], buffer, sizeof buffer));
  NOTE(shutdown(pair[0], SHUT_RDWR));
  NOTE(read(pair[1], buffer, sizeof buffer));
  NOTE(send(pair[0], "x", 1, 0));
  NOTE(shutdown(pair[1], SHUT_WR));
  NOTE(close(pair[0]));
  NOTE(close(pair[1]));

  connected(7001, pair);
  NOTE(write(pair[1], "unread", 6));
  NOTE(recv(pair[0], buffer, sizeof buffer, MSG_PEEK));
  NOTE(setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
  NOTE(close(pair[0]));
  NOTE(read(pair[1], buffer, sizeof buffer));
  NOTE(read(pair[1], buffer, sizeof buffer));
  NOTE(getsockopt(pair[1], SOL_SOCKET, SO_ERROR, &error, &len));
  printf("error %d\n", error);
  NOTE(send(pair[1], "x", 1, MSG_NOSIGNAL));
  NOTE(shutdown(pair[1], SHUT_RDWR));
  NOTE(close(pair[1]));
}
