/* Urgent data: MSG_OOB, the mark, SO_OOBINLINE. */
#include "frame.h"

static void run(void) {
  int pair[2], mark = -1, on = 1;
  char buffer[20];
  connected(7000, pair);
  NOTE(recv(pair[1], buffer, 1, MSG_OOB));
  NOTE(send(pair[0], "abc", 3, MSG_OOB));
  NOTE(send(pair[0], "def", 3, 0));
  struct pollfd entry = {pair[1], POLLPRI, 0};
  NOTE(poll(&entry, 1, 5000));
  NOTE(recv(pair[1], buffer, sizeof buffer, MSG_OOB));
  printf("%c\n", buffer[0]);
  NOTE(recv(pair[1], buffer, sizeof buffer, MSG_OOB));
  NOTE(ioctl(pair[1], SIOCATMARK, &mark));
  printf("mark %d\n", mark);
  NOTE(recv(pair[1], buffer, sizeof buffer, 0));
  NOTE(ioctl(pair[1], SIOCATMARK, &mark));
  printf("mark %d\n", mark);
  NOTE(recv(pair[1], buffer, 3, MSG_WAITALL));
  printf("%.3s\n", buffer);
  NOTE(setsockopt(pair[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
  NOTE(recv(pair[1], buffer, 1, MSG_OOB));
  NOTE(close(pair[0]));
  NOTE(close(pair[1]));
}
