/* sendmmsg, recvmmsg, readv and writev. */
#include "frame.h"

static void run(void) {
  struct sockaddr_in to = local(7001);
  struct mmsghdr messages[4];
  struct iovec parts[4], some[2];
  struct timespec none = {0, 0}, bad = {0, 1000000000};
  char rooms[4][8];
  int pair[2];
  datagrams(7000, pair);
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < 4; i++) {
    parts[i].iov_base = "messages";
    parts[i].iov_len = (size_t)(2 * i + 1);
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = &to;
    messages[i].msg_hdr.msg_namelen = sizeof to;
  }
  NOTE(sendmmsg(pair[0], messages, 4, 0));
  for (int i = 0; i < 4; i++)
    printf("%u ", messages[i].msg_len);
  puts("");
  NOTE(sendmmsg(pair[0], messages, 0, 0));
  messages[2].msg_hdr.msg_namelen = 3;
  NOTE(sendmmsg(pair[0], messages, 4, 0));
  NOTE(sendmmsg(pair[0], messages + 2, 2, 0));
  for (int i = 0; i < 4; i++) {
    parts[i].iov_base = rooms[i];
    parts[i].iov_len = sizeof rooms[i];
    messages[i].msg_hdr.msg_name = NULL;
    messages[i].msg_hdr.msg_namelen = 0;
  }
  NOTE(recvmmsg(pair[1], messages, 3, 0, NULL));
  for (int i = 0; i < 3; i++)
    printf("%u ", messages[i].msg_len);
  puts("");
  NOTE(recvmmsg(pair[1], messages, 4, MSG_WAITFORONE, NULL));
  NOTE(recvmmsg(pair[1], messages, 4, MSG_DONTWAIT, NULL));
  NOTE(recvmmsg(pair[1], messages, 4, 0, &bad));
  NOTE(sendto(pair[0], "x", 1, 0, ADDRESS(to), sizeof to));
  NOTE(recvmmsg(pair[1], messages, 4, 0, &none));
  close(pair[0]);
  close(pair[1]);

  connected(7100, pair);
  some[0] = (struct iovec){"hello, ", 7};
  some[1] = (struct iovec){"world", 5};
  NOTE(writev(pair[0], some, 2));
  NOTE(writev(pair[0], some, 0));
  NOTE(writev(pair[0], some, -1));
  NOTE(writev(pair[0], some, 1025));
  some[0] = (struct iovec){rooms[0], 5};
  some[1] = (struct iovec){rooms[1], 8};
  NOTE(readv(pair[1], some, 2));
  printf("%.5s|%.7s\n", rooms[0], rooms[1]);
  NOTE(readv(pair[1], some, -1));
  close(pair[0]);
  NOTE(readv(pair[1], some, 2));
  NOTE(close(pair[1]));
}
