/* epoll, ppoll and pselect on connections, datagrams and a pipe: levels, edges, once only, nested, signals. */
#include "frame.h"

static int epoll;

static void waited(const char *what, int most, int timeout) {
  struct epoll_event events[8];
  int count = epoll_wait(epoll, events, most, timeout);
  unsigned seen[8] = {0};
  printf("%s: %d%s", what, count, count == -1 ? strerrorname_np(errno) : "");
  for (int i = 0; i < count; i++)
    seen[events[i].data.u32 & 7] = events[i].events;
  for (int i = 0; i < 8; i++)
    if (seen[i])
      printf(" [%d: %#x]", i, seen[i]);
  puts("");
}

static long add(int operation, int fd, unsigned bits, unsigned number) {
  struct epoll_event event = {.events = bits, .data.u32 = number};
  return epoll_ctl(epoll, operation, fd, &event);
}

static volatile sig_atomic_t signals;

static void on_signal(int number) {
  (void)number;
  signals++;
}

static void run(void) {
  struct epoll_event events[2];
  struct timespec none = {0, 0}, bad = {0, -1}, second = {1, 0};
  struct timeval left = {5, 0};
  struct sigaction action;
  struct pollfd entries[3];
  sigset_t blocked, empty;
  fd_set readable, writable;
  int pair[2], packets[2], ends[2], inner, most;
  char buffer[20];

  NOTE(epoll_create(0));
  NOTE(epoll_create1(4711));
  epoll = MUST(epoll_create1(EPOLL_CLOEXEC));
  inner = MUST(epoll_create(1));
  NOTE(fcntl(epoll, F_GETFD, 0));
  connected(7000, pair);
  datagrams(7100, packets);
  if (pipe(ends) != 0)
    exit(1);

  /* Levels. */
  NOTE(add(EPOLL_CTL_ADD, pair[1], EPOLLIN | EPOLLRDHUP, 1));
  NOTE(add(EPOLL_CTL_ADD, packets[1], EPOLLIN, 2));
  NOTE(add(EPOLL_CTL_ADD, ends[0], EPOLLIN, 3));
  waited("nothing", 8, 0);
  MUST(write(pair[0], "one", 3));
  waited("connection", 8, 5000);
  waited("again", 8, 5000);
  MUST(write(ends[1], "x", 1));
  waited("two", 8, 5000);
  waited("one of them", 1, 5000);
  MUST(read(pair[1], buffer, sizeof buffer));
  MUST(read(ends[0], buffer, 1));
  waited("taken", 8, 0);
  {
    struct sockaddr_in to = local(7101);
    MUST(sendto(packets[0], "datagram", 8, 0, ADDRESS(to), sizeof to));
  }
  waited("datagram", 8, 5000);
  MUST(recv(packets[1], buffer, sizeof buffer, 0));

  /* Edges and once only. */
  NOTE(add(EPOLL_CTL_MOD, pair[1], EPOLLIN | EPOLLET, 4));
  MUST(write(pair[0], "two", 3));
  waited("edge", 8, 5000);
  MUST(read(pair[1], buffer, sizeof buffer));
  waited("no edge", 8, 0);
  MUST(write(pair[0], "three", 5));
  waited("edge", 8, 5000);
  NOTE(add(EPOLL_CTL_MOD, pair[1], EPOLLIN | EPOLLONESHOT, 5));
  waited("once", 8, 5000);
  waited("not twice", 8, 0);
  NOTE(add(EPOLL_CTL_MOD, pair[1], EPOLLIN | EPOLLOUT, 6));
  waited("both", 8, 5000);

  /* What is wrong. */
  NOTE(add(EPOLL_CTL_ADD, pair[1], EPOLLIN, 1));
  NOTE(add(EPOLL_CTL_MOD, pair[0], EPOLLIN, 1));
  NOTE(add(EPOLL_CTL_DEL, pair[0], EPOLLIN, 1));
  NOTE(add(EPOLL_CTL_ADD, epoll, EPOLLIN, 1));
  NOTE(add(EPOLL_CTL_ADD, -1, EPOLLIN, 1));
  NOTE(add(4711, pair[1], EPOLLIN, 1));
  NOTE(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], NULL));
  NOTE(epoll_ctl(pair[0], EPOLL_CTL_ADD, pair[1], events));
  NOTE(epoll_ctl(-1, EPOLL_CTL_ADD, pair[1], events));
  NOTE(epoll_ctl(epoll, EPOLL_CTL_DEL, ends[0], NULL));
  NOTE(epoll_wait(epoll, events, 0, 0));
  NOTE(epoll_wait(epoll, events, -1, 0));
  NOTE(epoll_wait(epoll, NULL, 2, 0));
  NOTE(epoll_wait(pair[0], events, 2, 0));
  NOTE(epoll_wait(-1, events, 2, 0));

  /* One in the other. */
  NOTE(epoll_ctl(inner, EPOLL_CTL_ADD, packets[1], &(struct epoll_event){.events = EPOLLIN}));
  NOTE(add(EPOLL_CTL_DEL, packets[1], 0, 0));
  NOTE(add(EPOLL_CTL_DEL, pair[1], 0, 0));
  NOTE(add(EPOLL_CTL_ADD, inner, EPOLLIN, 7));
  waited("nothing inside", 8, 0);
  {
    struct sockaddr_in to = local(7101);
    MUST(sendto(packets[0], "inside", 6, 0, ADDRESS(to), sizeof to));
  }
  waited("inside", 8, 5000);

  /* Signals are kept back, or are not. */
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, NULL);
  sigemptyset(&blocked);
  sigemptyset(&empty);
  sigaddset(&blocked, SIGUSR1);
  MUST(recv(packets[1], buffer, sizeof buffer, 0));
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  raise(SIGUSR1);
  printf("signals %d\n", (int)signals);
  NOTE(epoll_pwait(epoll, events, 2, 0, &blocked));
  NOTE(epoll_pwait(epoll, events, 2, 5000, &empty));
  printf("signals %d\n", (int)signals);
  raise(SIGUSR1);
  entries[0] = (struct pollfd){pair[0], POLLIN, 0};
  entries[1] = (struct pollfd){packets[1], POLLIN | POLLOUT, 0};
  entries[2] = (struct pollfd){-1, POLLIN, 0};
  NOTE(ppoll(entries, 1, NULL, &empty));
  raise(SIGUSR1);
  FD_ZERO(&readable);
  FD_SET(pair[0], &readable);
  NOTE(pselect(pair[0] + 1, &readable, NULL, NULL, NULL, &empty));
  printf("signals %d, still asked for %d\n", (int)signals, !!FD_ISSET(pair[0], &readable));

  NOTE(ppoll(entries, 3, &second, NULL));
  printf("%#x %#x %#x\n", entries[0].revents, entries[1].revents, entries[2].revents);
  NOTE(ppoll(entries, 1, &none, NULL));
  NOTE(ppoll(entries, 1, &bad, NULL));
  NOTE(ppoll(NULL, 1, &none, NULL));
  NOTE(poll(entries, 1ul << 60, 0));
  entries[0].fd = 4711;
  NOTE(poll(entries, 1, 0));
  printf("%#x\n", entries[0].revents);

  /* Sets; select says what is left of the time. */
  most = (pair[0] > packets[1] ? pair[0] : packets[1]) + 1;
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_SET(pair[0], &readable);
  FD_SET(pair[0], &writable);
  FD_SET(packets[1], &writable);
  NOTE(select(most, &readable, &writable, NULL, &left));
  printf("%d %d %d, left %d\n", !!FD_ISSET(pair[0], &readable), !!FD_ISSET(pair[0], &writable),
         !!FD_ISSET(packets[1], &writable), left.tv_sec >= 4 && left.tv_sec < 5);
  left = (struct timeval){0, 1000};
  NOTE(select(0, NULL, NULL, NULL, &left));
  printf("left %ld %ld\n", (long)left.tv_sec, (long)left.tv_usec);
  left.tv_usec = -1;
  NOTE(select(0, NULL, NULL, NULL, &left));
  NOTE(pselect(1, NULL, NULL, NULL, &bad, NULL));
  NOTE(pselect(-1, NULL, NULL, NULL, &none, NULL));
  NOTE(pselect(1024, (fd_set *)8, NULL, NULL, &none, NULL));
  FD_ZERO(&readable);
  FD_SET(1000, &readable);
  left = (struct timeval){0, 0};
  NOTE(select(1001, &readable, NULL, NULL, &left));

  MUST(close(pair[1]));
  NOTE(add(EPOLL_CTL_ADD, pair[0], EPOLLIN | EPOLLRDHUP, 1));
  waited("end", 8, 5000);
  MUST(close(pair[0]));
  waited("gone", 8, 0);
  MUST(close(packets[0]));
  MUST(close(packets[1]));
  MUST(close(inner));
  NOTE(close(epoll));
  MUST(close(ends[0]));
  MUST(close(ends[1]));
}
