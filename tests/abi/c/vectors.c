/* Many parts, empty ones, several messages with names and control messages, and files. */
#include "frame.h"
#include <sys/mman.h>

static void run(void) {
  struct sockaddr_in to = local(7001), from[3];
  struct iovec parts[20], rooms[3];
  struct mmsghdr messages[3];
  char text[20], room[3][16], control[3][64], big[200];
  int pair[2], on = 1, file;
  off_t offset = 3;

  /* One datagram of twenty parts, into twenty parts. */
  datagrams(7000, pair);
  for (int i = 0; i < 20; i++) {
    text[i] = (char)('a' + i);
    parts[i] = (struct iovec){&text[i], i != 5};
  }
  NOTE(connect(pair[0], ADDRESS(to), sizeof to));
  NOTE(writev(pair[0], parts, 20));
  NOTE(writev(pair[0], parts, 8));
  NOTE(writev(pair[0], parts, 9));
  NOTE(writev(pair[0], parts + 5, 1));
  memset(text, '.', sizeof text);
  NOTE(readv(pair[1], parts, 20));
  printf("%.20s\n", text);
  memset(text, '.', sizeof text);
  NOTE(readv(pair[1], parts, 8));
  NOTE(readv(pair[1], parts, 3));
  printf("%.20s\n", text);
  parts[2].iov_base = NULL;
  NOTE(writev(pair[0], parts, 4));
  parts[2].iov_len = 0;
  NOTE(writev(pair[0], parts, 4));
  parts[2].iov_base = &text[2];
  NOTE(readv(pair[1], parts, 20));
  NOTE(readv(pair[1], parts, 1025));
  NOTE(readv(pair[1], NULL, 2));

  /* Messages, each with its name and what else is known of it. */
  NOTE(setsockopt(pair[1], IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < 3; i++) {
    rooms[i] = (struct iovec){"0123456789abcdefgh", (size_t)(6 * (i + 1))};
    messages[i].msg_hdr.msg_iov = &rooms[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  NOTE(sendmmsg(pair[0], messages, 3, 0));
  for (int i = 0; i < 3; i++) {
    rooms[i] = (struct iovec){room[i], 8};
    messages[i].msg_hdr.msg_name = &from[i];
    messages[i].msg_hdr.msg_namelen = sizeof from[i];
    messages[i].msg_hdr.msg_control = control[i];
    messages[i].msg_hdr.msg_controllen = i == 1 ? CMSG_LEN(2) : i == 2 ? 5 : sizeof control[i];
  }
  NOTE(recvmmsg(pair[1], messages, 3, 0, NULL));
  for (int i = 0; i < 3; i++)
    printf("%u bytes, port %d, name %u, flags %#x, control %zu\n", messages[i].msg_len, ntohs(from[i].sin_port),
           (unsigned)messages[i].msg_hdr.msg_namelen, messages[i].msg_hdr.msg_flags,
           (size_t)messages[i].msg_hdr.msg_controllen);

  /* What is wrong with the peer comes before anything else. */
  MUST(close(pair[1]));
  NOTE(send(pair[0], "x", 1, 0));
  NOTE(recvmmsg(pair[0], messages, 3, 0, NULL));
  NOTE(recvmmsg(pair[0], messages, 3, MSG_DONTWAIT, NULL));
  NOTE(sendmmsg(pair[0], NULL, 3, 0));
  NOTE(sendmmsg(-1, messages, 3, 0));
  MUST(close(pair[0]));

  /* Also before what came in front of it. */
  connected(7100, pair);
  MUST(write(pair[1], "unread", 6));
  MUST(write(pair[0], "unread", 6));
  MUST(recv(pair[1], text, 1, 0));
  MUST(close(pair[1]));
  {
    struct pollfd entry = {pair[0], 0, 0};
    NOTE(poll(&entry, 1, 5000));
  }
  messages[0].msg_hdr.msg_name = NULL;
  messages[0].msg_hdr.msg_control = NULL;
  NOTE(recvmmsg(pair[0], messages, 1, MSG_DONTWAIT, NULL));
  NOTE(recvmmsg(pair[0], messages, 1, MSG_DONTWAIT, NULL));
  MUST(close(pair[0]));

  /* A file. */
  connected(7200, pair);
  file = memfd_create("file", 0);
  if (file < 0 || write(file, "what is in the file", 19) != 19 || lseek(file, 5, SEEK_SET) != 5)
    exit(1);
  NOTE(sendfile(pair[0], file, &offset, 6));
  printf("offset %ld, stands at %ld\n", (long)offset, (long)lseek(file, 0, SEEK_CUR));
  NOTE(sendfile(pair[0], file, NULL, 100));
  printf("stands at %ld\n", (long)lseek(file, 0, SEEK_CUR));
  NOTE(sendfile(pair[0], file, NULL, 100));
  offset = -1;
  NOTE(sendfile(pair[0], file, &offset, 6));
  NOTE(sendfile(pair[0], file, (off_t *)8, 6));
  NOTE(sendfile(pair[0], -1, NULL, 6));
  NOTE(sendfile(-1, file, NULL, 6));
  memset(big, 0, sizeof big);
  NOTE(recv(pair[1], big, 20, MSG_WAITALL));
  puts(big);
  MUST(close(pair[0]));
  MUST(close(pair[1]));
  close(file);
}
