/* Raw sockets, raw(7), over the loopback interface: with and without a header of one's own, what comes to whom. */
#include "frame.h"
#include <netinet/ip.h>
#include <linux/icmp.h>

static unsigned short sum(const void *data, size_t len) {
  const unsigned short *word = data;
  unsigned total = 0;
  for (; len > 1; len -= 2)
    total += *word++;
  total = (total >> 16) + (total & 0xffff);
  return (unsigned short)~(total + (total >> 16));
}

static void receive(int fd, int flags) {
  struct sockaddr_in from;
  socklen_t len = sizeof from;
  unsigned char buffer[256];
  ssize_t got = NOTE(recvfrom(fd, buffer, sizeof buffer, flags, ADDRESS(from), &len));
  if (got > 0) {
    struct iphdr *ip = (struct iphdr *)buffer;
    show("from", &from, len);
    printf("port %d, version %d, header %d, protocol %d, length %d, type %d\n", ntohs(from.sin_port), ip->version,
           ip->ihl * 4, ip->protocol, ntohs(ip->tot_len), buffer[20]);
  }
}

static void run(void) {
  struct sockaddr_in to = local(0), own;
  socklen_t len = sizeof own;
  struct {
    struct icmphdr icmp;
    char text[6];
  } echo = {.icmp = {.type = ICMP_ECHO, .un.echo = {.id = htons(77), .sequence = htons(1)}}, .text = "hello"};
  struct {
    struct iphdr ip;
    char text[4];
  } own_header = {.ip = {.version = 4, .ihl = 5, .ttl = 9, .protocol = 253}, .text = "ours"};
  int on = 1, filter = ~(1 << ICMP_ECHOREPLY);
  int all = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), replies = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  int other = MUST(socket(AF_INET, SOCK_RAW, 253)), any = MUST(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));

  NOTE(socket(AF_INET, SOCK_RAW, 0));
  NOTE(setsockopt(replies, SOL_RAW, ICMP_FILTER, &filter, sizeof filter));
  NOTE(setsockopt(other, SOL_RAW, ICMP_FILTER, &filter, sizeof filter));
  NOTE(send(all, &echo, sizeof echo, 0));
  echo.icmp.checksum = sum(&echo, sizeof echo);
  NOTE(sendto(all, &echo, sizeof echo, 0, ADDRESS(to), sizeof to));
  receive(all, 0);
  receive(all, 0);
  receive(all, MSG_DONTWAIT);
  receive(replies, MSG_PEEK);
  receive(replies, 0);
  receive(replies, MSG_DONTWAIT);

  NOTE(sendto(other, "x", 1, 0, ADDRESS(to), 4));
  NOTE(connect(other, ADDRESS(to), sizeof to));
  NOTE(send(other, "of 253", 6, 0));
  receive(other, 0);
  NOTE(setsockopt(other, IPPROTO_IP, IP_HDRINCL, &on, sizeof on));
  own_header.ip.daddr = to.sin_addr.s_addr;
  NOTE(send(other, &own_header, sizeof own_header, 0));
  receive(other, 0);
  NOTE(send(other, &own_header, 10, 0));
  NOTE(sendto(any, &own_header, sizeof own_header, 0, ADDRESS(to), sizeof to));
  receive(other, 0);
  receive(any, MSG_DONTWAIT);
  NOTE(getsockname(other, ADDRESS(own), &len));
  show("own", &own, len);
  printf("port %d\n", ntohs(own.sin_port));
  NOTE(getpeername(other, ADDRESS(own), &len));
  printf("port %d\n", ntohs(own.sin_port));
  NOTE(listen(other, 1));
  NOTE(accept(other, NULL, NULL));
  NOTE(shutdown(other, SHUT_RDWR));
  MUST(close(all));
  MUST(close(replies));
  MUST(close(other));
  MUST(close(any));
}
