// VOLLEY_CHECK: programmer errors end the process with the place and the reason, in release builds
// too. Bytes from a network, a file or a user must never reach one: those are absl::Status.
#ifndef VOLLEY_IO_BASE_CHECK_H_
#define VOLLEY_IO_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace volley::io {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace volley::io

#define VOLLEY_CHECK(condition)                                  \
  do {                                                           \
    if (!(condition)) [[unlikely]]                               \
      ::volley::io::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#endif  // VOLLEY_IO_BASE_CHECK_H_
