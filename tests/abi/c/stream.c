/* A connection: its addresses, data both ways, the end of each direction. */
#include "frame.h"

static void run(void) {
  struct sockaddr_in address = local(7000), seen;
  socklen_t len = sizeof seen;
  int listener = MUST(socket(AF_INET, SOCK_STREAM, 0)), client, server;
  char buffer[100];

  NOTE(accept(listener, NULL, NULL));
  NOTE(bind(listener, ADDRESS(address), sizeof address));
  NOTE(bind(listener, ADDRESS(address), sizeof address));
  NOTE(listen(listener, 5));
  client = MUST(socket(AF_INET, SOCK_STREAM, 0));
  NOTE(getpeername(client, ADDRESS(seen), &len));
  NOTE(connect(client, ADDRESS(address), sizeof address));
  NOTE(connect(client, ADDRESS(address), sizeof address));
  memset(&seen, 0, sizeof seen);
  server = MUST(accept4(listener, ADDRESS(seen), &len, SOCK_CLOEXEC));
  show("accepted", &seen, len);
  NOTE(fcntl(server, F_GETFD, 0));
  NOTE(fcntl(client, F_GETFD, 0));

  /* An address is cut to the room there is; its whole length is told. */
  memset(&seen, 0, sizeof seen);
  len = 6;
  NOTE(getpeername(client, ADDRESS(seen), &len));
  printf("port %d, length %u\n", ntohs(seen.sin_port), (unsigned)len);
  show("cut", &seen, len);
  len = sizeof seen;
  NOTE(getsockname(server, ADDRESS(seen), &len));
  printf("port %d\n", ntohs(seen.sin_port));

  NOTE(write(client, "hello, server", 13));
  NOTE(recv(server, buffer, 5, MSG_WAITALL));
  NOTE(recv(server, buffer, sizeof buffer, MSG_PEEK));
  NOTE(read(server, buffer, sizeof buffer));
  printf("%.8s\n", buffer);
  NOTE(send(server, "hello, client", 13, MSG_NOSIGNAL));
  len = sizeof seen;
  NOTE(recvfrom(client, buffer, sizeof buffer, 0, ADDRESS(seen), &len));
  printf("a stream has no source: %u\n", (unsigned)len);
  NOTE(recv(client, buffer, sizeof buffer, MSG_DONTWAIT));

  NOTE(shutdown(client, SHUT_WR));
  NOTE(write(client, "more", 4));
  NOTE(read(server, buffer, sizeof buffer));
  NOTE(write(server, "late", 4));
  NOTE(read(client, buffer, sizeof buffer));
  NOTE(close(server));
  NOTE(read(client, buffer, sizeof buffer));
  NOTE(shutdown(listener, 7));
  NOTE(close(client));
  NOTE(close(listener));
  NOTE(close(listener));
}
