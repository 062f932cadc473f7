/* Nothing waits: FIONBIO, O_NONBLOCK, connects that go on, a full connection. */
#include "frame.h"

static void run(void) {
  struct sockaddr_in address = local(7000), nobody = local(7009);
  int listener = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)), client, server, on = 1, error = -1;
  socklen_t len = sizeof error;
  char buffer[10];
  static char bulk[1 << 20];
  struct pollfd entry;
  MUST(bind(listener, ADDRESS(address), sizeof address));
  MUST(listen(listener, 5));
  NOTE(accept(listener, NULL, NULL));
  NOTE(fcntl(listener, F_GETFL, 0) & O_NONBLOCK);

  client = MUST(socket(AF_INET, SOCK_STREAM, 0));
  NOTE(ioctl(client, FIONBIO, &on));
  NOTE(ioctl(client, FIONBIO, NULL));
  NOTE(fcntl(client, F_GETFL, 0) & O_NONBLOCK);
  NOTE(connect(client, ADDRESS(address), sizeof address));
  entry = (struct pollfd){client, POLLOUT, 0};
  NOTE(poll(&entry, 1, 5000));
  NOTE(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &len));
  printf("error %d\n", error);
  entry = (struct pollfd){listener, POLLIN, 0};
  NOTE(poll(&entry, 1, 5000));
  server = MUST(accept(listener, NULL, NULL));
  NOTE(fcntl(server, F_GETFL, 0) & O_NONBLOCK);
  NOTE(read(client, buffer, sizeof buffer));
  long sent, all = 0;
  while ((sent = write(client, bulk, sizeof bulk)) > 0)
    all += sent;
  note("write when full", sent);
  printf("much %d\n", all > 100000);
  NOTE(fcntl(client, F_SETFL, 0));
  NOTE(fcntl(client, F_GETFL, 0) & O_NONBLOCK);
  while (all > 0)
    all -= read(server, bulk, sizeof bulk);
  NOTE(all);
  MUST(close(client));
  MUST(close(server));

  client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  NOTE(connect(client, ADDRESS(nobody), sizeof nobody));
  entry = (struct pollfd){client, POLLOUT, 0};
  NOTE(poll(&entry, 1, 5000));
  NOTE(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &len));
  printf("error %d\n", error);
  NOTE(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &len));
  printf("error %d\n", error);
  MUST(close(client));
  MUST(close(listener));
}
