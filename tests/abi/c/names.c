/* getaddrinfo and getnameinfo with numbers. */
#include "frame.h"

static void look(const char *node, const char *service, int family, int type, int flags) {
  struct addrinfo hints, *found = NULL;
  int code;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = family;
  hints.ai_socktype = type;
  hints.ai_flags = flags;
  code = getaddrinfo(node, service, &hints, &found);
  printf("%s %s %d %d %#x: %d %s\n", node ? node : "-", service ? service : "-", family, type, (unsigned)flags, code,
         code ? gai_strerror(code) : "");
  if (code != 0)
    return;
  for (struct addrinfo *info = found; info != NULL; info = info->ai_next) {
    char host[100], port[20];
    code = getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof host, port, sizeof port,
                       NI_NUMERICHOST | NI_NUMERICSERV);
    printf("  %d %d %d %u %s: %d %s %s\n", info->ai_family, info->ai_socktype, info->ai_protocol,
           (unsigned)info->ai_addrlen, info->ai_canonname ? info->ai_canonname : "-", code, host, port);
  }
  freeaddrinfo(found);
}

static void run(void) {
  struct sockaddr_in address = local(80);
  char host[100], port[20];
  look("127.0.0.1", "80", AF_UNSPEC, 0, AI_NUMERICHOST);
  look("127.0.0.1", "80", AF_INET, SOCK_STREAM, AI_CANONNAME | AI_NUMERICHOST);
  look("::1", "53", AF_UNSPEC, SOCK_DGRAM, 0);
  look("10.0.0.1", NULL, AF_INET6, SOCK_STREAM, AI_V4MAPPED);
  look("10.0.0.1", NULL, AF_INET6, SOCK_STREAM, 0);
  look(NULL, "80", AF_INET, SOCK_STREAM, AI_PASSIVE);
  look(NULL, "80", AF_INET, SOCK_STREAM, 0);
  look(NULL, NULL, AF_INET, SOCK_STREAM, 0);
  look("no number", "80", AF_INET, SOCK_STREAM, AI_NUMERICHOST);
  look("127.0.0.1", "no number", AF_INET, SOCK_STREAM, AI_NUMERICSERV);
  look("127.0.0.1", "80", 4711, SOCK_STREAM, 0);
  look("127.0.0.1", "80", AF_INET, 4711, 0);
  look("127.0.0.1", "80", AF_INET, SOCK_STREAM, 1 << 30);
#define NAME(hostlen, portlen, flags)                                                                                  \
  printf("getnameinfo " #hostlen " " #portlen " " #flags ": %d\n",                                                     \
         getnameinfo(ADDRESS(address), sizeof address, host, hostlen, port, portlen, flags))
  NAME(3, 20, NI_NUMERICHOST | NI_NUMERICSERV);
  NAME(0, 0, NI_NUMERICHOST | NI_NUMERICSERV);
  NAME(100, 2, NI_NUMERICHOST | NI_NUMERICSERV);
  NAME(100, 20, NI_NUMERICHOST | NI_NUMERICSERV | NI_NAMEREQD);
  NAME(100, 20, 1 << 30);
  struct hostent *entry = gethostbyname("10.0.0.7");
  printf("%s %d %d %s %d\n", entry->h_name, entry->h_addrtype, entry->h_length,
         inet_ntoa(*(struct in_addr *)entry->h_addr_list[0]), entry->h_addr_list[1] == NULL && *entry->h_aliases == NULL);
  struct in6_addr six;
  char text[INET6_ADDRSTRLEN];
  in_addr_t local = htonl(INADDR_LOOPBACK);
  entry = gethostbyname2("fd00::7", AF_INET6);
  printf("%s %d %d %s\n", entry->h_name, entry->h_addrtype, entry->h_length,
         inet_ntop(AF_INET6, entry->h_addr_list[0], text, sizeof text));
  entry = gethostbyaddr(&local, sizeof local, AF_INET);
  printf("%s %d %d\n", entry->h_name, entry->h_addrtype, entry->h_length);
  inet_pton(AF_INET6, "2001:db8::77", &six);
  printf("%d\n", gethostbyaddr(&six, 4, AF_INET6) == NULL);
}
