/* IPv6: addresses with everything in them, IPv4 through it. */
#include "frame.h"

static void run(void) {
  struct sockaddr_in6 address, seen;
  struct sockaddr_in v4 = local(7000);
  socklen_t len = sizeof seen;
  char text[INET6_ADDRSTRLEN];
  int listener = MUST(socket(AF_INET6, SOCK_STREAM, 0)), client, server, off = 0;
  memset(&address, 0, sizeof address);
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(7000);
  NOTE(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off));
  NOTE(bind(listener, ADDRESS(address), 20));
  NOTE(bind(listener, ADDRESS(address), sizeof address));
  NOTE(listen(listener, 5));
  client = MUST(socket(AF_INET, SOCK_STREAM, 0));
  NOTE(connect(client, ADDRESS(address), sizeof address));
  NOTE(connect(client, ADDRESS(v4), sizeof v4));
  server = MUST(accept(listener, ADDRESS(seen), &len));
  printf("%s, length %u\n", inet_ntop(AF_INET6, &seen.sin6_addr, text, sizeof text), (unsigned)len);
  NOTE(close(client));
  NOTE(close(server));
  client = MUST(socket(AF_INET6, SOCK_STREAM, 0));
  address.sin6_addr = in6addr_loopback;
  NOTE(connect(client, ADDRESS(address), sizeof address));
  len = 10;
  memset(&seen, 0, sizeof seen);
  server = MUST(accept(listener, ADDRESS(seen), &len));
  printf("%s, length %u\n", inet_ntop(AF_INET6, &seen.sin6_addr, text, sizeof text), (unsigned)len);
  len = sizeof seen;
  NOTE(getsockname(server, ADDRESS(seen), &len));
  printf("%s port %d scope %u\n", inet_ntop(AF_INET6, &seen.sin6_addr, text, sizeof text), ntohs(seen.sin6_port),
         seen.sin6_scope_id);
  NOTE(write(client, "six", 3));
  NOTE(read(server, text, sizeof text));
  NOTE(close(client));
  NOTE(close(server));
  NOTE(close(listener));
}
