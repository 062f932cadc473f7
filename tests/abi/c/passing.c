/* A socket is passed on (SCM_RIGHTS), to a child, too, duplicated, and closed in any order. */
#include "frame.h"

static void give(int over, int fd) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec part = {"here", 4};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  memset(&control, 0, sizeof control);
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  NOTE(sendmsg(over, &message, 0));
}

static int take(int over, int flags) {
  char room[CMSG_SPACE(sizeof(int))], text[8];
  struct iovec part = {text, sizeof text};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  int fd = -1;
  NOTE(recvmsg(over, &message, flags));
  printf("flags %#x, control %zu\n", message.msg_flags, (size_t)message.msg_controllen);
  if (CMSG_FIRSTHDR(&message) != NULL)
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

static void named(int fd) {
  struct sockaddr_in name;
  socklen_t len = sizeof name;
  if (NOTE(getpeername(fd, ADDRESS(name), &len)) == 0)
    printf("peer's port %d\n", ntohs(name.sin_port));
}

static void run(void) {
  int over[2], pair[2], packets[2], other, again, status;
  struct sockaddr_in to = local(7100);
  char buffer[20];
  pid_t child;
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, over) != 0)
    exit(1);
  connected(7000, pair);
  datagrams(7100, packets);

  /* The passed one is the same socket; the first may go. */
  give(over[0], pair[0]);
  other = take(over[1], MSG_CMSG_CLOEXEC);
  printf("another %d, closed by exec %d\n", other != pair[0], fcntl(other, F_GETFD, 0));
  named(other);
  NOTE(close(pair[0]));
  NOTE(send(other, "still", 5, 0));
  NOTE(recv(pair[1], buffer, sizeof buffer, 0));
  NOTE(close(other));
  NOTE(recv(pair[1], buffer, sizeof buffer, 0));
  NOTE(close(pair[1]));

  /* One that only travels lives on. */
  give(over[0], packets[0]);
  NOTE(close(packets[0]));
  NOTE(sendto(packets[1], "to nobody", 9, 0, ADDRESS(to), sizeof to));
  other = take(over[1], 0);
  NOTE(recv(other, buffer, sizeof buffer, 0));
  again = MUST(dup(other));
  NOTE(fcntl(again, F_SETFL, O_NONBLOCK));
  NOTE(recv(other, buffer, sizeof buffer, 0));
  NOTE(close(other));
  NOTE(recv(other, buffer, sizeof buffer, 0));
  NOTE(sendto(packets[1], "again", 5, 0, ADDRESS(to), sizeof to));
  status = fcntl(again, F_SETFL, 0);
  NOTE(recv(again, buffer, sizeof buffer, 0));
  NOTE(dup2(again, packets[1]) == packets[1]);
  NOTE(close(again));
  NOTE(close(packets[1]));
  NOTE(close(packets[1]));

  /* To a child, which made nothing itself. */
  fflush(stdout);
  child = fork();
  if (child == 0) {
    if (freopen("/dev/null", "w", stdout) == NULL)
      _exit(1);
    other = take(over[1], 0);
    if (recv(other, buffer, 5, MSG_WAITALL) == 5 && send(other, buffer, 5, 0) == 5)
      _exit(7);
    _exit(1);
  }
  connected(7200, pair);
  give(over[0], pair[1]);
  NOTE(close(pair[1]));
  NOTE(send(pair[0], "child", 5, 0));
  NOTE(recv(pair[0], buffer, 5, MSG_WAITALL));
  if (waitpid(child, &status, 0) != child)
    exit(1);
  printf("child %d\n", WEXITSTATUS(status));
  NOTE(close(pair[0]));
  NOTE(close(over[0]));
  NOTE(close(over[1]));
}
