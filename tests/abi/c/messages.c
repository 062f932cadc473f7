/* sendmsg and recvmsg: several parts, names that are cut, control messages that are cut. */
#include "frame.h"

static struct sockaddr_in from;
static char first[4], second[60], control[256];

static void receive(int fd, size_t controllen, socklen_t namelen, int flags) {
  struct iovec parts[2] = {{first, sizeof first}, {second, sizeof second}};
  struct msghdr message;
  memset(&message, 0, sizeof message);
  memset(control, 0, sizeof control);
  message.msg_name = namelen ? &from : NULL;
  message.msg_namelen = namelen;
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  message.msg_control = control;
  message.msg_controllen = controllen;
  NOTE(recvmsg(fd, &message, flags));
  printf("name %u, control %zu, flags %#x, %.4s|%.6s\n", (unsigned)message.msg_namelen, (size_t)message.msg_controllen,
         message.msg_flags, first, second);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
    printf("level %d, type %d, length %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
    if (c->cmsg_len == CMSG_LEN(sizeof(int)))
      printf(", value %d", *(int *)CMSG_DATA(c));
    puts("");
  }
}

static void run(void) {
  struct sockaddr_in to = local(7001);
  struct iovec parts[3] = {{"one, ", 5}, {"two, ", 5}, {"three", 5}};
  struct msghdr message;
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } ttl;
  int pair[2], on = 1;
  datagrams(7000, pair);
  memset(&message, 0, sizeof message);
  message.msg_name = &to;
  message.msg_namelen = sizeof to;
  message.msg_iov = parts;
  message.msg_iovlen = 3;
  NOTE(sendmsg(pair[0], &message, 0));
  receive(pair[1], sizeof control, sizeof from, 0);
  NOTE(setsockopt(pair[1], IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
  NOTE(setsockopt(pair[1], IPPROTO_IP, IP_RECVTOS, &on, sizeof on));

  memset(&ttl, 0, sizeof ttl);
  message.msg_control = &ttl;
  message.msg_controllen = sizeof ttl;
  ttl.header.cmsg_len = CMSG_LEN(sizeof(int));
  ttl.header.cmsg_level = IPPROTO_IP;
  ttl.header.cmsg_type = IP_TTL;
  *(int *)CMSG_DATA(&ttl.header) = 7;
  for (int i = 0; i < 6; i++)
    NOTE(sendmsg(pair[0], &message, 0));
  receive(pair[1], sizeof control, sizeof from, 0);
  receive(pair[1], sizeof control, 5, MSG_PEEK);
  receive(pair[1], CMSG_SPACE(sizeof(int)), sizeof from, 0);
  receive(pair[1], CMSG_LEN(2), sizeof from, 0);
  receive(pair[1], 7, 0, 0);
  receive(pair[1], 0, 0, 0);
  receive(pair[1], sizeof control, sizeof from, 0);
  receive(pair[1], sizeof control, sizeof from, MSG_DONTWAIT);

  /* What is wrong with a message. */
  *(int *)CMSG_DATA(&ttl.header) = 256;
  NOTE(sendmsg(pair[0], &message, 0));
  ttl.header.cmsg_len = 4;
  NOTE(sendmsg(pair[0], &message, 0));
  ttl.header.cmsg_len = 4000;
  NOTE(sendmsg(pair[0], &message, 0));
  message.msg_controllen = 3;
  NOTE(sendmsg(pair[0], &message, 0));
  message.msg_controllen = 0;
  message.msg_namelen = 3;
  NOTE(sendmsg(pair[0], &message, 0));
  message.msg_namelen = (socklen_t)-1;
  NOTE(sendmsg(pair[0], &message, 0));
  message.msg_namelen = sizeof to;
  message.msg_iovlen = 1025;
  NOTE(sendmsg(pair[0], &message, 0));
  NOTE(recvmsg(pair[1], &message, 0));
  message.msg_iovlen = 3;
  parts[1].iov_len = (size_t)-1;
  NOTE(sendmsg(pair[0], &message, 0));
  NOTE(sendmsg(pair[0], NULL, 0));
  NOTE(close(pair[0]));
  NOTE(close(pair[1]));
}
