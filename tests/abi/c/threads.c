/* Threads that serve and ask at the same time; each has an errno of its own. */
#include "frame.h"

enum { THREADS = 4, ROUNDS = 50 };

static void *serve(void *argument) {
  int fd = *(int *)argument;
  char buffer[8192];
  ssize_t len;
  while ((len = read(fd, buffer, sizeof buffer)) > 0)
    for (ssize_t done = 0; done < len;)
      done += write(fd, buffer + done, (size_t)(len - done));
  close(fd);
  return NULL;
}

static void *ask(void *argument) {
  int fd = *(int *)argument;
  char out[5000], in[5000];
  long good = 0;
  for (int round = 0; round < ROUNDS; round++) {
    memset(out, round, sizeof out);
    if (write(fd, out, sizeof out) == sizeof out && recv(fd, in, sizeof in, MSG_WAITALL) == sizeof in)
      good += memcmp(out, in, sizeof in) == 0;
    errno = 0;
    if (recv(fd, in, 1, MSG_DONTWAIT) == -1 && errno != EAGAIN)
      good -= 100;
  }
  close(fd);
  return (void *)good;
}

static void run(void) {
  struct sockaddr_in address = local(7000);
  int listener = MUST(socket(AF_INET, SOCK_STREAM, 0)), clients[THREADS], servers[THREADS];
  pthread_t asking[THREADS], serving[THREADS];
  MUST(bind(listener, ADDRESS(address), sizeof address));
  MUST(listen(listener, 5));
  for (int i = 0; i < THREADS; i++) {
    clients[i] = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(clients[i], ADDRESS(address), sizeof address));
    servers[i] = MUST(accept(listener, NULL, NULL));
    pthread_create(&serving[i], NULL, serve, &servers[i]);
    pthread_create(&asking[i], NULL, ask, &clients[i]);
  }
  for (int i = 0; i < THREADS; i++) {
    void *good;
    pthread_join(asking[i], &good);
    pthread_join(serving[i], NULL);
    printf("%ld of %d\n", (long)good, ROUNDS);
  }
  NOTE(close(listener));
}
