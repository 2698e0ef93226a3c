// Require: the engine's check for programmer errors (a broken REQUIRES). Bytes from a peer never
// reach one. The engine may not know io/, so it has its own.
#ifndef VOLLEY_ENGINE_SMTP_CHECK_H_
#define VOLLEY_ENGINE_SMTP_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace volley::engine::smtp {

inline void Require(bool condition, const char* what) {
  if (condition) [[likely]]
    return;
  std::fprintf(stderr, "engine/smtp: broken requirement: %s\n", what);
  std::abort();
}

}  // namespace volley::engine::smtp

#endif  // VOLLEY_ENGINE_SMTP_CHECK_H_
