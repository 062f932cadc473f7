/* One program on two networks at once, with the same address on both. Each network is a switch inside the process, with a
 * station that says who called it.
 *
 *   cc two_stacks.c $(pkg-config --cflags --libs ioth) -pthread && ./a.out
 */
#include <arpa/inet.h>
#include <ioth.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check(const char *what, int result) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
  return result;
}

static void *greet(void *argument) {
  int listener = *(int *)argument;
  struct sockaddr_in peer;
  socklen_t len = sizeof peer;
  char line[80];
  int fd = check("accept", ioth_accept(listener, (struct sockaddr *)&peer, &len));
  int length = snprintf(line, sizeof line, "you are %s\n", inet_ntoa(peer.sin_addr));
  check("write", (int)ioth_write(fd, line, (size_t)length));
  ioth_close(fd);
  return NULL;
}

int main(void) {
  const char *networks[] = {"switch://red", "switch://blue"};
  for (int i = 0; i < 2; i++) {
    struct ioth *server = ioth_newstack("smoltcp,ip=10.0.0.1/24", networks[i]);
    struct ioth *client = ioth_newstack("smoltcp,ip=10.0.0.2/24", networks[i]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(7000)};
    char line[80] = "";
    pthread_t thread;
    if (server == NULL || client == NULL)
      check("ioth_newstack", -1);
    int listener = check("socket", ioth_msocket(server, AF_INET, SOCK_STREAM, 0));
    check("bind", ioth_bind(listener, (struct sockaddr *)&address, sizeof address));
    check("listen", ioth_listen(listener, 1));
    pthread_create(&thread, NULL, greet, &listener);

    int fd = check("socket", ioth_msocket(client, AF_INET, SOCK_STREAM, 0));
    inet_pton(AF_INET, "10.0.0.1", &address.sin_addr);
    check("connect", ioth_connect(fd, (struct sockaddr *)&address, sizeof address));
    check("read", (int)ioth_read(fd, line, sizeof line - 1));
    printf("%s: %s", networks[i], line);
    ioth_close(fd);
    pthread_join(thread, NULL);
    ioth_close(listener);
    check("ioth_delstack", ioth_delstack(client) | ioth_delstack(server));
  }
  return 0;
}
