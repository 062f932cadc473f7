/* Packet sockets, packet(7): what goes over the loopback interface is seen, with and without its header. */
#include "frame.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>

static int waiting_for(int fd, const char *text, size_t at) {
  struct sockaddr_ll from;
  unsigned char buffer[256];
  for (;;) {
    socklen_t len = sizeof from;
    ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, ADDRESS(from), &len);
    if (got < 0)
      return -1;
    if ((size_t)got < at + strlen(text) || memcmp(buffer + at, text, strlen(text)) != 0 ||
        from.sll_pkttype == PACKET_OUTGOING)
      continue;
    printf("%zd bytes, name %u, family %d, protocol %#x, hardware %d, kind %d, address of %d\n", got, (unsigned)len,
           from.sll_family, ntohs(from.sll_protocol), from.sll_hatype, from.sll_pkttype, from.sll_halen);
    return 0;
  }
}

static void named(int fd) {
  struct sockaddr_ll own;
  socklen_t len = sizeof own;
  memset(&own, 0, sizeof own);
  NOTE(getsockname(fd, ADDRESS(own), &len));
  printf("length %u, protocol %#x, hardware %d, address of %d\n", (unsigned)len, ntohs(own.sll_protocol),
         own.sll_hatype, own.sll_halen);
}

static void run(void) {
  struct sockaddr_in to = local(7001);
  struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
  struct iovec part;
  struct msghdr message;
  char buffer[20];
  int pair[2], all = MUST(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
  int cooked = MUST(socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP))), none = MUST(socket(AF_PACKET, SOCK_RAW, 0));
  datagrams(7000, pair);
  named(all);
  named(none);
  NOTE(sendto(pair[0], "a datagram", 10, 0, ADDRESS(to), sizeof to));
  NOTE(waiting_for(all, "a datagram", 14 + 28));
  NOTE(waiting_for(cooked, "a datagram", 28));
  NOTE(recv(none, buffer, sizeof buffer, MSG_DONTWAIT));
  NOTE(bind(none, ADDRESS(link), sizeof link));
  named(none);
  NOTE(sendto(pair[0], "another", 7, 0, ADDRESS(to), sizeof to));
  NOTE(waiting_for(none, "another", 14 + 28));

  /* Cut, and how long it was. */
  NOTE(sendto(pair[0], "third", 5, 0, ADDRESS(to), sizeof to));
  memset(&message, 0, sizeof message);
  part = (struct iovec){buffer, 9};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_name = &link;
  message.msg_namelen = 7;
  NOTE(recvmsg(cooked, &message, MSG_TRUNC) > 28);
  printf("name %u, flags %#x\n", (unsigned)message.msg_namelen, message.msg_flags);

  /* What cannot be. */
  link.sll_ifindex = 4711;
  link.sll_family = AF_PACKET;
  NOTE(bind(none, ADDRESS(link), sizeof link));
  NOTE(bind(none, ADDRESS(link), 10));
  NOTE(sendto(all, "x", 1, 0, ADDRESS(link), sizeof link));
  link.sll_family = AF_INET;
  NOTE(bind(none, ADDRESS(link), sizeof link));
  NOTE(connect(none, ADDRESS(link), sizeof link));
  NOTE(listen(none, 1));
  NOTE(send(none, "x", 1, 0));
  NOTE(socket(AF_PACKET, SOCK_STREAM, 0));
  NOTE(recv(all, buffer, sizeof buffer, MSG_OOB));
  MUST(close(all));
  MUST(close(cooked));
  MUST(close(none));
  MUST(close(pair[0]));
  MUST(close(pair[1]));
}
