/* A server that forks: the child answers, the parent goes on. */
#include "frame.h"

static void run(void) {
  struct sockaddr_in address = local(7000);
  int listener = MUST(socket(AF_INET, SOCK_STREAM, 0));
  char buffer[100];
  MUST(bind(listener, ADDRESS(address), sizeof address));
  MUST(listen(listener, 5));
  for (int turn = 0; turn < 3; turn++) {
    int client = MUST(socket(AF_INET, SOCK_STREAM, 0)), server, status;
    pid_t child;
    MUST(connect(client, ADDRESS(address), sizeof address));
    server = MUST(accept(listener, NULL, NULL));
    fflush(stdout);
    child = fork();
    if (child == 0) {
      close(client);
      close(listener);
      ssize_t len = read(server, buffer, sizeof buffer);
      for (ssize_t i = 0; i < len; i++)
        buffer[i] = (char)(buffer[i] - 'a' + 'A');
      if (write(server, buffer, (size_t)len) != len)
        _exit(1);
      shutdown(server, SHUT_WR);
      _exit(close(server) == 0 ? 7 : 1);
    }
    NOTE(close(server));
    NOTE(write(client, "hello", 5));
    NOTE(read(client, buffer, sizeof buffer));
    printf("%.5s\n", buffer);
    NOTE(read(client, buffer, sizeof buffer));
    waitpid(child, &status, 0);
    printf("exit %d\n", WEXITSTATUS(status));
    NOTE(close(client));
  }
  NOTE(close(listener));
}
