/* Does what libioth does with a plugin: loads it into a scope of its own, looks up its calls by name, tells it which
 * stack a call is for. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* The members in their order. */
struct ioth_functions {
  void *(*getstackdata)(void);
  void *(*newstack)(const char *vnlv[], const char *options, struct ioth_functions *functions);
  int (*delstack)(void *stackdata);
  int (*socket)(int, int, int);
  int (*close)(int);
  int (*bind)(int, const struct sockaddr *, socklen_t);
  int (*connect)(int, const struct sockaddr *, socklen_t);
  int (*listen)(int, int);
  int (*accept)(int, struct sockaddr *, socklen_t *);
  int (*getsockname)(int, struct sockaddr *, socklen_t *);
  int (*getpeername)(int, struct sockaddr *, socklen_t *);
  int (*setsockopt)(int, int, int, const void *, socklen_t);
  int (*getsockopt)(int, int, int, void *, socklen_t *);
  int (*shutdown)(int, int);
  int (*ioctl)(int, unsigned long, void *);
  int (*fcntl)(int, int, long);
  ssize_t (*read)(int, void *, size_t);
  ssize_t (*readv)(int, const struct iovec *, int);
  ssize_t (*recv)(int, void *, size_t, int);
  ssize_t (*recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
  ssize_t (*recvmsg)(int, struct msghdr *, int);
  ssize_t (*write)(int, const void *, size_t);
  ssize_t (*writev)(int, const struct iovec *, int);
  ssize_t (*send)(int, const void *, size_t, int);
  ssize_t (*sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
  ssize_t (*sendmsg)(int, const struct msghdr *, int);
};

static const char *const names[] = {"newstack",   "delstack",   "socket",   "close", "bind",  "connect",  "listen",
                                    "accept",     "getsockname", "getpeername", "setsockopt", "getsockopt", "shutdown",
                                    "ioctl",      "fcntl",      "read",     "readv", "recv",  "recvfrom", "recvmsg",
                                    "write",      "writev",     "send",     "sendto", "sendmsg"};

#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      printf("line %d: " #condition ", errno %s\n", __LINE__, strerrorname_np(errno));                                 \
      exit(1);                                                                                                         \
    }                                                                                                                  \
  } while (0)

static __thread void *current;
static void *getstackdata(void) { return current; }

int main(int argc, char *argv[]) {
  struct ioth_functions calls;
  void **members = (void **)&calls + 1;
  void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  const char *red_links[] = {"switch://plugin", NULL}, *blue_links[] = {"eth7:switch://plugin", NULL};
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(7)};
  char buffer[10];
  if (plugin == NULL) {
    puts(dlerror());
    return 1;
  }
  memset(&calls, 0, sizeof calls);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char symbol[100];
    snprintf(symbol, sizeof symbol, "ioth_smoltcp_%s", names[i]);
    members[i] = dlsym(plugin, symbol);
    EXPECT(members[i] != NULL);
  }
  EXPECT((void *)(members + sizeof names / sizeof *names) == (void *)(&calls + 1));
  const char **license = dlsym(plugin, "ioth_smoltcp_license");
  EXPECT(license != NULL && strncmp(*license, "SPDX-License-Identifier: ", 25) == 0);
  EXPECT(dlsym(RTLD_DEFAULT, "ioth_smoltcp_socket") == NULL);

  EXPECT(calls.newstack(red_links, "ip=10.0.0.1/24", NULL) == NULL && errno == EFAULT);
  calls.getstackdata = getstackdata;
  EXPECT(calls.newstack(red_links, "nonsense", &calls) == NULL && errno == EINVAL);
  void *red = calls.newstack(red_links, "ip=10.0.0.1/24", &calls);
  void *blue = calls.newstack(blue_links, "ip=10.0.0.2/24", &calls);
  EXPECT(red != NULL && blue != NULL && red != blue);

  EXPECT(calls.socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == EINVAL);
  current = red;
  int listener = calls.socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(calls.bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
  EXPECT(calls.listen(listener, 5) == 0);
  EXPECT(calls.delstack(red) == -1 && errno == EBUSY);
  current = blue;
  int client = calls.socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, "10.0.0.1", &address.sin_addr);
  EXPECT(calls.connect(client, (struct sockaddr *)&address, sizeof address) == 0);
  int server = calls.accept(listener, NULL, NULL);
  EXPECT(server >= 0);
  EXPECT(calls.write(client, "plugin", 6) == 6 && calls.read(server, buffer, sizeof buffer) == 6);
  struct iovec parts = {"back", 4};
  struct msghdr message = {.msg_iov = &parts, .msg_iovlen = 1};
  EXPECT(calls.sendmsg(server, &message, 0) == 4 && calls.recv(client, buffer, sizeof buffer, 0) == 4);
  EXPECT(calls.close(client) == 0 && calls.close(server) == 0 && calls.close(listener) == 0);
  EXPECT(calls.delstack(red) == 0 && calls.delstack(blue) == 0);
  EXPECT(calls.delstack(red) == -1 && errno == EINVAL);
  EXPECT(dlclose(plugin) == 0);
  puts("end");
  return 0;
}
