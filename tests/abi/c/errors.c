/* What is wrong with arguments: descriptors, addresses, lengths, flags. */
#include "frame.h"
#include <sys/mman.h>

static void run(void) {
  struct sockaddr_in address = local(7000);
  struct sockaddr_storage room;
  socklen_t len = sizeof room, negative = (socklen_t)-1;
  char buffer[16];
  int fd, pair[2], ends[2];

  NOTE(socket(4711, SOCK_STREAM, 0));
  NOTE(socket(-1, SOCK_STREAM, 0));
  NOTE(socket(AF_INET, 77, 0));
  NOTE(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
  NOTE(socket(AF_INET, SOCK_STREAM | 0x100, 0));
  NOTE(bind(-1, ADDRESS(address), sizeof address));
  NOTE(connect(4711, ADDRESS(address), sizeof address));
  NOTE(listen(-1, 1));
  NOTE(accept(-1, NULL, NULL));
  NOTE(read(-1, buffer, sizeof buffer));
  NOTE(write(4711, buffer, sizeof buffer));
  NOTE(recv(-1, buffer, sizeof buffer, 0));
  NOTE(recvmsg(4711, NULL, 0));
  NOTE(close(-1));
  NOTE(close(4711));
  NOTE(shutdown(-1, SHUT_RD));
  NOTE(fcntl(-1, F_GETFL, 0));
  NOTE(ioctl(4711, FIONREAD, &fd));
  NOTE(setsockopt(-1, SOL_SOCKET, SO_REUSEADDR, NULL, 4));

  /* Descriptors that are no sockets. */
  if (pipe(ends) != 0)
    exit(1);
  NOTE(bind(ends[0], ADDRESS(address), sizeof address));
  NOTE(send(ends[1], "x", 1, 0));
  NOTE(getsockname(ends[1], (struct sockaddr *)&room, &len));
  NOTE(write(ends[1], "pipe", 4));
  NOTE(read(ends[0], buffer, sizeof buffer));
  NOTE(close(ends[0]));
  NOTE(close(ends[1]));

  /* Addresses. */
  fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
  NOTE(bind(fd, NULL, sizeof address));
  NOTE(bind(fd, ADDRESS(address), 1));
  NOTE(bind(fd, ADDRESS(address), 15));
  NOTE(bind(fd, ADDRESS(address), 4000));
  NOTE(bind(fd, ADDRESS(address), (socklen_t)-1));
  address.sin_family = AF_INET6;
  NOTE(bind(fd, ADDRESS(address), sizeof address));
  NOTE(connect(fd, ADDRESS(address), sizeof address));
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(0xc0000201);
  NOTE(bind(fd, ADDRESS(address), sizeof address));
  address = local(7000);
  NOTE(connect(fd, NULL, sizeof address));
  NOTE(connect(fd, ADDRESS(address), 1));
  NOTE(connect(fd, ADDRESS(address), sizeof address));
  NOTE(close(fd));
  fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
  NOTE(getsockname(fd, NULL, &len));
  NOTE(getsockname(fd, (struct sockaddr *)&room, NULL));
  NOTE(getsockname(fd, (struct sockaddr *)&room, &negative));
  len = 0;
  NOTE(getsockname(fd, (struct sockaddr *)&room, &len));
  printf("length %u\n", (unsigned)len);
  NOTE(read(fd, buffer, sizeof buffer));
  NOTE(write(fd, buffer, sizeof buffer));
  NOTE(shutdown(fd, SHUT_WR));
  NOTE(accept4(fd, NULL, NULL, 1));
  NOTE(close(fd));

  /* Memory that was given back. */
  void *gone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(gone, 4096);
  fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
  len = sizeof room;
  NOTE(bind(fd, gone, sizeof address));
  NOTE(connect(fd, gone, sizeof address));
  NOTE(getsockname(fd, gone, &len));
  NOTE(getsockname(fd, (struct sockaddr *)&room, gone));
  NOTE(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, gone, 4));
  NOTE(getsockopt(fd, SOL_SOCKET, SO_TYPE, gone, &len));
  NOTE(getsockopt(fd, SOL_SOCKET, SO_TYPE, &room, gone));
  NOTE(close(fd));

  /* Memory that is none. */
  connected(7100, pair);
  NOTE(write(pair[0], "x", 1));
  NOTE(recv(pair[1], (void *)8, 4, 0));
  NOTE(recv(pair[1], NULL, 0, MSG_DONTWAIT | MSG_PEEK));
  NOTE(send(pair[1], NULL, 4, 0));
  NOTE(send(pair[1], (void *)-9, 100, 0));
  NOTE(read(pair[1], buffer, 1));
  NOTE(close(pair[0]));
  NOTE(close(pair[1]));
}
