/* poll and select on a listener, a connection and a pipe. */
#include "frame.h"

static int pollone(int fd, int events, int timeout) {
  struct pollfd entry = {fd, (short)events, 0};
  int count = poll(&entry, 1, timeout);
  printf("poll: %d, in %d, out %d, hup %d\n", count, !!(entry.revents & POLLIN), !!(entry.revents & POLLOUT),
         !!(entry.revents & POLLHUP));
  return count;
}

static void run(void) {
  struct sockaddr_in address = local(7000);
  int listener = MUST(socket(AF_INET, SOCK_STREAM, 0)), client, server, ends[2];
  struct timeval second = {1, 0};
  char buffer[10];
  fd_set readable;
  MUST(bind(listener, ADDRESS(address), sizeof address));
  MUST(listen(listener, 5));
  pollone(listener, POLLIN, 0);
  client = MUST(socket(AF_INET, SOCK_STREAM, 0));
  MUST(connect(client, ADDRESS(address), sizeof address));
  pollone(listener, POLLIN, 5000);
  server = MUST(accept(listener, NULL, NULL));
  pollone(listener, POLLIN, 0);
  pollone(client, POLLIN | POLLOUT, 0);
  if (pipe(ends) != 0)
    exit(1);
  FD_ZERO(&readable);
  FD_SET(server, &readable);
  FD_SET(ends[0], &readable);
  MUST(write(client, "x", 1));
  NOTE(select(1 + (server > ends[0] ? server : ends[0]), &readable, NULL, NULL, &second));
  printf("server %d, pipe %d\n", !!FD_ISSET(server, &readable), !!FD_ISSET(ends[0], &readable));
  NOTE(read(server, buffer, sizeof buffer));
  NOTE(select(-1, NULL, NULL, NULL, NULL));
  NOTE(poll(NULL, 0, 0));
  NOTE(poll(NULL, 1, 0));
  MUST(close(client));
  pollone(server, POLLIN, 5000);
  NOTE(read(server, buffer, sizeof buffer));
  close(server);
  close(listener);
  close(ends[0]);
  close(ends[1]);
}
