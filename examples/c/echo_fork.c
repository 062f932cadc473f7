/* A server on any stack that forks for each connection, and echoes what it hears.
 *
 *   echo_fork STACK VNL PORT [CONNECTIONS]
 *
 *   echo_fork smoltcp,ip=10.0.0.2/24 tap://red 7000      on a stack of this program
 *   echo_fork "" kernel: 7000                            on the kernel's
 */
#include <ioth.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int check(const char *what, int result) {
  if (result < 0) {
    perror(what);
    exit(1);
  }
  return result;
}

static void echo(int fd) {
  char buffer[4096];
  ssize_t len;
  while ((len = ioth_read(fd, buffer, sizeof buffer)) > 0)
    for (ssize_t done = 0; done < len;)
      done += check("write", (int)ioth_write(fd, buffer + done, (size_t)(len - done)));
  check("read", (int)len);
}

int main(int argc, char *argv[]) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6};
  if (argc < 4) {
    fprintf(stderr, "usage: %s STACK VNL PORT [CONNECTIONS]\n", argv[0]);
    return 2;
  }
  struct ioth *stack = ioth_newstack(argv[1], argv[2]);
  if (stack == NULL)
    check(argv[1], -1);
  ioth_set_defstack(stack);
  int listener = check("socket", ioth_socket(AF_INET6, SOCK_STREAM, 0));
  address.sin6_port = htons((uint16_t)atoi(argv[3]));
  check("bind", ioth_bind(listener, (struct sockaddr *)&address, sizeof address));
  check("listen", ioth_listen(listener, 16));
  puts("listening");
  fflush(stdout);
  for (int left = argc > 4 ? atoi(argv[4]) : -1; left != 0; left--) {
    int fd = check("accept", ioth_accept(listener, NULL, NULL));
    if (check("fork", fork()) == 0) {
      echo(fd);
      _exit(0);
    }
    ioth_close(fd);
  }
  while (wait(NULL) > 0)
    ;
  return 0;
}
