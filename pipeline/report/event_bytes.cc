#include "pipeline/report/event_bytes.h"

#include <fmt/format.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "pipeline/settle/event_compressor.h"

namespace volley::pipeline {
namespace {

constexpr int kWindowLogMax = 25;

struct CloseFile {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using FilePtr = std::unique_ptr<std::FILE, CloseFile>;

class Plain final : public EventBytes {
 public:
  Plain(FilePtr file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  absl::StatusOr<size_t> Read(char* to, size_t room) override {
    const size_t n = std::fread(to, 1, room, file_.get());
    if (n == 0 && std::ferror(file_.get())) {
      return absl::UnavailableError(fmt::format("cannot read {}: {}", path_, std::strerror(errno)));
    }
    return n;
  }

 private:
  const FilePtr file_;
  const std::string path_;
};

class Compressed final : public EventBytes {
 public:
  Compressed(FilePtr file, const std::string& path)
      : path_(path), file_(std::move(file), path), buffer_(ZSTD_DStreamInSize(), '\0') {
    ZSTD_DCtx_setParameter(zstd_.get(), ZSTD_d_windowLogMax, kWindowLogMax);
  }
  absl::StatusOr<size_t> Read(char* to, size_t room) override {
    ZSTD_outBuffer out{to, room, 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size) {
        const auto n = file_.Read(buffer_.data(), buffer_.size());
        if (!n.ok()) return n;
        if (*n == 0 && !within_frame_) return 0;
        if (*n == 0) return Damaged("it is cut off");
        in_ = {buffer_.data(), *n, 0};
      }
      const size_t left = ZSTD_decompressStream(zstd_.get(), &out, &in_);
      if (ZSTD_isError(left)) return Damaged(ZSTD_getErrorName(left));
      within_frame_ = left != 0;
    }
    return out.pos;
  }

 private:
  absl::Status Damaged(std::string_view how) const {
    return absl::DataLossError(fmt::format("{} is damaged: {}", path_, how));
  }
  const std::string path_;
  Plain file_;
  std::string buffer_;
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> zstd_{ZSTD_createDCtx(), ZSTD_freeDCtx};
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool within_frame_ = true;  // an empty file is a damaged one
};

}  // namespace

absl::StatusOr<std::unique_ptr<EventBytes>> EventBytes::Open(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) {
    const std::string text = fmt::format("cannot open {}: {}", path, std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(text) : absl::UnavailableError(text);
  }
  return Of(file, path);
}

std::unique_ptr<EventBytes> EventBytes::Of(std::FILE* file, const std::string& path) {
  if (path.ends_with(kZstdSuffix)) return std::make_unique<Compressed>(FilePtr(file), path);
  return std::make_unique<Plain>(FilePtr(file), path);
}

}  // namespace volley::pipeline
