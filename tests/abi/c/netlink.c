/* rtnetlink(7) as the inline functions of libioth speak it: how long an answer is, is peeked at; links, addresses and
 * routes are set up and looked at. On the interface vde0. */
#include "frame.h"
#include <linux/if.h>
#include <linux/rtnetlink.h>

struct request {
  struct nlmsghdr header;
  union {
    struct ifinfomsg link;
    struct ifaddrmsg address;
    struct rtmsg route;
    char room[256];
  };
};

static void begin(struct request *request, int type, int flags, size_t fixed) {
  memset(request, 0, sizeof *request);
  request->header.nlmsg_len = (unsigned)NLMSG_LENGTH(fixed);
  request->header.nlmsg_type = (unsigned short)type;
  request->header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
  request->header.nlmsg_seq = 7;
}

static void attribute(struct request *request, int type, const void *data, size_t len) {
  struct rtattr *at = (struct rtattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
  at->rta_type = (unsigned short)type;
  at->rta_len = (unsigned short)RTA_LENGTH(len);
  memcpy(RTA_DATA(at), data, len);
  request->header.nlmsg_len = (unsigned)(NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(at->rta_len));
}

/* Says what an answer holds, as far as it is the same everywhere. Whether it is the last. */
static int told(struct nlmsghdr *header, const char *of) {
  struct ifinfomsg *link = NLMSG_DATA(header);
  struct ifaddrmsg *address = NLMSG_DATA(header);
  struct rtmsg *route = NLMSG_DATA(header);
  int len;
  char name[IFNAMSIZ] = "", mine[INET6_ADDRSTRLEN] = "";
  if (header->nlmsg_type == NLMSG_DONE) {
    puts("done");
    return 1;
  }
  if (header->nlmsg_type == NLMSG_ERROR) {
    int code = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
    printf("%s\n", code ? strerrorname_np(-code) : "yes");
    return 1;
  }
  if (header->nlmsg_type == RTM_NEWLINK) {
    len = (int)IFLA_PAYLOAD(header);
    for (struct rtattr *at = IFLA_RTA(link); RTA_OK(at, len); at = RTA_NEXT(at, len))
      if (at->rta_type == IFLA_IFNAME)
        strcpy(name, RTA_DATA(at));
    if (of == NULL || strcmp(name, of) == 0)
      printf("link %s, up %d, multi %d\n", name, !!(link->ifi_flags & IFF_UP), !!(header->nlmsg_flags & NLM_F_MULTI));
  } else if (header->nlmsg_type == RTM_NEWADDR) {
    len = (int)IFA_PAYLOAD(header);
    for (struct rtattr *at = IFA_RTA(address); RTA_OK(at, len); at = RTA_NEXT(at, len))
      if (at->rta_type == IFA_ADDRESS)
        inet_ntop(address->ifa_family, RTA_DATA(at), mine, sizeof mine);
    printf("address %s/%d\n", mine, address->ifa_prefixlen);
  } else if (header->nlmsg_type == RTM_NEWROUTE && route->rtm_table == RT_TABLE_MAIN) {
    len = (int)RTM_PAYLOAD(header);
    strcpy(mine, "default");
    for (struct rtattr *at = RTM_RTA(route); RTA_OK(at, len); at = RTA_NEXT(at, len))
      if (at->rta_type == RTA_DST)
        inet_ntop(route->rtm_family, RTA_DATA(at), mine, sizeof mine);
    printf("route %s/%d, scope %d\n", mine, route->rtm_dst_len, route->rtm_scope);
  }
  return 0;
}

static void dialog(const char *what, struct request *request, const char *of) {
  struct sockaddr_nl own = {.nl_family = AF_NETLINK};
  int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)), over = 0;
  puts(what);
  MUST(bind(fd, ADDRESS(own), sizeof own));
  NOTE(send(fd, request, request->header.nlmsg_len, 0) == request->header.nlmsg_len);
  while (!over) {
    ssize_t len = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC), got;
    char *buffer;
    if (len <= 0) {
      NOTE(len);
      break;
    }
    buffer = malloc((size_t)len);
    got = recv(fd, buffer, (size_t)len, 0);
    printf("whole %d\n", got == len);
    for (struct nlmsghdr *header = (struct nlmsghdr *)buffer; NLMSG_OK(header, (unsigned)got);
         header = NLMSG_NEXT(header, got))
      over |= told(header, of);
    if (!(request->header.nlmsg_flags & (NLM_F_DUMP | NLM_F_ACK)))
      over = 1;
    free(buffer);
  }
  MUST(close(fd));
}

static unsigned index_of(const char *name) {
  struct request request;
  char buffer[8192];
  struct nlmsghdr *header = (struct nlmsghdr *)buffer;
  int fd = MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE));
  begin(&request, RTM_GETLINK, 0, sizeof request.link);
  attribute(&request, IFLA_IFNAME, name, strlen(name) + 1);
  MUST(send(fd, &request, request.header.nlmsg_len, 0));
  MUST(recv(fd, buffer, sizeof buffer, 0));
  MUST(close(fd));
  printf("%s: type %d\n", name, header->nlmsg_type);
  return header->nlmsg_type == RTM_NEWLINK ? (unsigned)((struct ifinfomsg *)NLMSG_DATA(header))->ifi_index : 0;
}

static void run(void) {
  struct request request;
  struct in_addr own, net, gateway;
  struct sockaddr_nl name;
  socklen_t len = sizeof name;
  int fd, index = (int)index_of("vde0");
  index_of("nothing0");
  inet_pton(AF_INET, "10.0.0.1", &own);
  inet_pton(AF_INET, "10.9.0.0", &net);
  inet_pton(AF_INET, "10.0.0.254", &gateway);

  begin(&request, RTM_NEWLINK, NLM_F_ACK, sizeof request.link);
  request.link.ifi_index = index;
  request.link.ifi_change = IFF_UP;
  dialog("down", &request, NULL);
  begin(&request, RTM_GETLINK, NLM_F_DUMP, sizeof request.link);
  dialog("links", &request, "vde0");
  begin(&request, RTM_NEWLINK, NLM_F_ACK, sizeof request.link);
  request.link.ifi_index = index;
  request.link.ifi_flags = request.link.ifi_change = IFF_UP;
  dialog("up", &request, NULL);
  begin(&request, RTM_GETLINK, NLM_F_DUMP, sizeof request.link);
  dialog("links", &request, "vde0");
  begin(&request, RTM_SETLINK, NLM_F_ACK, sizeof request.link);
  request.link.ifi_index = 4711;
  dialog("no such link", &request, NULL);

  begin(&request, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof request.address);
  request.address.ifa_family = AF_INET;
  request.address.ifa_prefixlen = 24;
  request.address.ifa_index = (unsigned)index;
  attribute(&request, IFA_LOCAL, &own, 4);
  attribute(&request, IFA_ADDRESS, &own, 4);
  dialog("address", &request, NULL);
  dialog("the same", &request, NULL);
  begin(&request, RTM_GETADDR, NLM_F_DUMP, sizeof request.address);
  request.address.ifa_family = AF_INET;
  dialog("addresses", &request, NULL);

  begin(&request, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof request.route);
  request.route.rtm_family = AF_INET;
  request.route.rtm_dst_len = 16;
  request.route.rtm_table = RT_TABLE_MAIN;
  request.route.rtm_protocol = RTPROT_STATIC;
  request.route.rtm_type = RTN_UNICAST;
  attribute(&request, RTA_DST, &net, 4);
  attribute(&request, RTA_GATEWAY, &gateway, 4);
  dialog("route", &request, NULL);
  begin(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof request.route);
  request.route.rtm_family = AF_INET;
  dialog("routes", &request, NULL);
  begin(&request, 4711, NLM_F_ACK, sizeof request.route);
  dialog("nothing", &request, NULL);

  /* The socket itself. */
  fd = MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  NOTE(recv(fd, &request, sizeof request, MSG_DONTWAIT));
  NOTE(getsockname(fd, ADDRESS(name), &len));
  printf("length %u, port %u, groups %u\n", (unsigned)len, name.nl_pid, name.nl_groups);
  name.nl_groups = RTMGRP_LINK;
  name.nl_pid = 0;
  NOTE(bind(fd, ADDRESS(name), sizeof name));
  NOTE(bind(fd, ADDRESS(name), 3));
  NOTE(getsockname(fd, ADDRESS(name), &len));
  printf("length %u, own port %d, groups %u\n", (unsigned)len, name.nl_pid == (unsigned)getpid(), name.nl_groups);
  NOTE(listen(fd, 5));
  NOTE(send(fd, &request, 3, MSG_OOB));
  MUST(close(fd));
}
