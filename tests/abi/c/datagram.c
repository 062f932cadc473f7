/* Datagrams: sources, cut ones, empty ones, a peer, and who does not listen. */
#include "frame.h"

static void run(void) {
  struct sockaddr_in to = local(7001), nobody = local(7009), from;
  socklen_t len = sizeof from;
  char buffer[100];
  int pair[2];
  datagrams(7000, pair);

  NOTE(sendto(pair[0], "one", 3, 0, ADDRESS(to), sizeof to));
  NOTE(sendto(pair[0], "", 0, 0, ADDRESS(to), sizeof to));
  NOTE(sendto(pair[0], "a long datagram", 15, 0, ADDRESS(to), sizeof to));
  NOTE(sendto(pair[0], "a long datagram", 15, 0, ADDRESS(to), sizeof to));
  NOTE(recvfrom(pair[1], buffer, sizeof buffer, 0, ADDRESS(from), &len));
  show("from", &from, len);
  printf("port %d\n", ntohs(from.sin_port));
  NOTE(recv(pair[1], buffer, sizeof buffer, 0));
  NOTE(recv(pair[1], buffer, 4, 0));
  len = 4;
  NOTE(recvfrom(pair[1], buffer, 4, MSG_TRUNC, ADDRESS(from), &len));
  printf("length %u\n", (unsigned)len);
  NOTE(recv(pair[1], buffer, 4, MSG_DONTWAIT));
  NOTE(send(pair[0], "x", 1, 0));
  NOTE(connect(pair[0], ADDRESS(to), sizeof to));
  NOTE(send(pair[0], "two", 3, 0));
  NOTE(read(pair[1], buffer, sizeof buffer));
  len = sizeof from;
  NOTE(getpeername(pair[0], ADDRESS(from), &len));
  show("peer", &from, len);
  to.sin_family = AF_UNSPEC;
  NOTE(connect(pair[0], ADDRESS(to), sizeof to));
  NOTE(getpeername(pair[0], ADDRESS(from), &len));
  NOTE(connect(pair[0], ADDRESS(nobody), sizeof nobody));
  NOTE(send(pair[0], "anybody?", 8, 0));
  NOTE(recv(pair[0], buffer, sizeof buffer, 0));
  NOTE(listen(pair[0], 1));
  NOTE(accept(pair[0], NULL, NULL));
  NOTE(close(pair[0]));
  NOTE(close(pair[1]));
}
