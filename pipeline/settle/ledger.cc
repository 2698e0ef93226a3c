#include "pipeline/settle/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <bit>
#include <cstddef>
#include <cstring>
#include <limits>

namespace volley::pipeline {
namespace {

using engine::smtp::CommandKind;

constexpr std::string_view kMagic = "volleyLG";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 64;
constexpr size_t kSlotBytes = 16;
constexpr uint64_t kSlotsMax = std::numeric_limits<uint32_t>::max();

// In the machine's byte order, which is little-endian wherever we run; the checksum is over what
// stands before it.
struct Header {
  char magic[8];
  uint32_t version;
  uint32_t slot_bytes;
  uint64_t slots;
  uint32_t list_checksum;
  uint32_t reserved[8];
  uint32_t checksum;
};
static_assert(sizeof(Header) == kHeaderBytes);
static_assert(std::endian::native == std::endian::little);

uint32_t ChecksumOf(const Header& header) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(&header), offsetof(Header, checksum)));
}

Header MakeHeader(const LedgerIdentity& identity) {
  Header header{};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.version = kVersion;
  header.slot_bytes = kSlotBytes;
  header.slots = identity.recipients;
  header.list_checksum = identity.list_checksum;
  header.checksum = ChecksumOf(header);
  return header;
}

// verdict: state, attempts, category, flags (8 bits each), code (16), stage (8), 8 unused.
uint64_t PackVerdict(const LedgerSlot& s) {
  return static_cast<uint64_t>(s.state) | uint64_t{s.attempts} << 8 | uint64_t{s.category} << 16 |
         uint64_t{s.was_uncertain} << 24 | uint64_t{s.code.value()} << 32 |
         static_cast<uint64_t>(s.stage) << 48;
}

constexpr uint64_t kUnusedBits = 0xff000000fe000000;
constexpr uint16_t kCodeMax = 999;

// Whether a volley of this version can have written it.
bool IsPossible(uint64_t verdict) {
  return (verdict & kUnusedBits) == 0 && static_cast<uint8_t>(verdict) < kSlotStates &&
         static_cast<uint16_t>(verdict >> 32) <= kCodeMax &&
         static_cast<uint8_t>(verdict >> 48) <= static_cast<uint8_t>(CommandKind::kQuit);
}

LedgerSlot Unpack(uint64_t verdict, uint64_t times) {
  LedgerSlot s;
  // Open() has refused these; a file that is only looked at may be damaged meanwhile.
  if (!IsPossible(verdict)) verdict = static_cast<uint64_t>(SlotState::kUncertain);
  s.state = static_cast<SlotState>(static_cast<uint8_t>(verdict));
  s.attempts = static_cast<uint8_t>(verdict >> 8);
  s.category = static_cast<uint8_t>(verdict >> 16);
  s.was_uncertain = (verdict >> 24 & 1) != 0;
  s.code = engine::smtp::ReplyCode(static_cast<uint16_t>(verdict >> 32));
  s.stage = static_cast<CommandKind>(static_cast<uint8_t>(verdict >> 48));
  s.due = static_cast<UnixSeconds>(times);
  s.first = static_cast<UnixSeconds>(times >> 32);
  return s;
}

uint64_t PackTimes(const LedgerSlot& s) { return uint64_t{s.due} | uint64_t{s.first} << 32; }

}  // namespace

absl::Status Ledger::Error(absl::StatusCode code, std::string_view what) const {
  return absl::Status(code, fmt::format("{}: {}", path_, what));
}

Ledger::~Ledger() {
  if (bytes_ != nullptr) munmap(bytes_, mapped_);
  close(fd_);  // and the lock goes
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Create(const std::string& path,
                                                       const LedgerIdentity& identity) {
  if (identity.recipients > kSlotsMax) {
    return absl::InvalidArgumentError(fmt::format(
        "{} recipients are more than a campaign can have ({})", identity.recipients, kSlotsMax));
  }
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    const auto code =
        errno == EEXIST ? absl::StatusCode::kAlreadyExists : absl::StatusCode::kInternal;
    return absl::Status(code, fmt::format("cannot make {}: {}", path, std::strerror(errno)));
  }
  std::unique_ptr<Ledger> ledger(new Ledger(path, fd));
  const Header header = MakeHeader(identity);
  if (absl::Status s = ledger->Allocate(kHeaderBytes + identity.recipients * kSlotBytes); !s.ok()) {
    unlink(path.c_str());
    return s;
  }
  if (pwrite(fd, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header) ||
      fsync(fd) != 0) {
    const int error = errno;
    unlink(path.c_str());
    return ledger->Error(absl::StatusCode::kInternal,
                         fmt::format("cannot be written: {}", std::strerror(error)));
  }
  ledger.reset();
  return Open(path, identity);
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::OpenFile(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC);
  if (fd >= 0) return std::unique_ptr<Ledger>(new Ledger(path, fd));
  const auto code = errno == ENOENT ? absl::StatusCode::kNotFound : absl::StatusCode::kInternal;
  return absl::Status(code, fmt::format("cannot open {}: {}", path, std::strerror(errno)));
}

absl::Status Ledger::Allocate(uint64_t bytes) const {
  const int error = posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
  if (error == 0) return absl::OkStatus();
  return Error(
      absl::StatusCode::kResourceExhausted,
      fmt::format("no room for the {} bytes of the ledger: {}", bytes, std::strerror(error)));
}

absl::Status Ledger::Map(bool writable) {
  struct stat info {};
  if (fstat(fd_, &info) != 0 || info.st_size < static_cast<off_t>(kHeaderBytes)) {
    return Error(absl::StatusCode::kDataLoss, "is too short to be a ledger");
  }
  mapped_ = static_cast<uint64_t>(info.st_size);
  void* bytes = mmap(nullptr, mapped_, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd_, 0);
  if (bytes == MAP_FAILED) {
    return Error(absl::StatusCode::kInternal,
                 fmt::format("cannot be mapped: {}", std::strerror(errno)));
  }
  bytes_ = static_cast<char*>(bytes);
  return absl::OkStatus();
}

// Of the file that has the name now: one that a restart has just replaced guards nothing.
absl::Status Ledger::Lock() const {
  constexpr std::string_view kBusy = "another process is sending this campaign";
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 errno == EWOULDBLOCK ? kBusy : std::string_view(std::strerror(errno)));
  }
  struct stat ours {
  }, named{};
  if (fstat(fd_, &ours) == 0 && stat(path_.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
      ours.st_dev == named.st_dev) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kFailedPrecondition, kBusy);
}

absl::Status Ledger::Check(const LedgerIdentity* identity) {
  Header header;
  std::memcpy(&header, bytes_, sizeof header);
  const auto damaged = [this](std::string_view what) {
    return Error(absl::StatusCode::kDataLoss, what);
  };
  if (std::memcmp(header.magic, kMagic.data(), kMagic.size()) != 0) {
    return damaged("is not a ledger");
  }
  if (header.version != kVersion) {
    return damaged(
        fmt::format("has version {}, this volley reads version {}; use the volley that "
                    "began the campaign",
                    header.version, kVersion));
  }
  if (header.checksum != ChecksumOf(header) || header.slot_bytes != kSlotBytes ||
      header.slots > kSlotsMax || mapped_ != kHeaderBytes + header.slots * kSlotBytes) {
    return damaged("is damaged: its header does not fit it");
  }
  if (identity != nullptr &&
      (header.slots != identity->recipients || header.list_checksum != identity->list_checksum)) {
    return damaged("belongs to another list than the recipients.bin beside it");
  }
  slots_ = reinterpret_cast<Slot*>(bytes_ + kHeaderBytes);
  size_ = static_cast<uint32_t>(header.slots);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(const std::string& path,
                                                     const LedgerIdentity& identity) {
  auto ledger = OpenFile(path, O_RDWR);
  if (!ledger.ok()) return ledger;
  absl::Status status = (*ledger)->Lock();
  if (status.ok()) status = (*ledger)->Map(true);
  // Before a look at the slots: on a tmpfs even that fills a hole.
  if (status.ok()) status = (*ledger)->Allocate((*ledger)->mapped_);
  if (status.ok()) status = (*ledger)->Check(&identity);
  if (status.ok()) status = (*ledger)->CheckSlots();
  if (!status.ok()) return status;
  (*ledger)->SettleWhatWasInFlight();
  return ledger;
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Claim(const std::string& path) {
  auto ledger = OpenFile(path, O_RDWR);
  if (!ledger.ok()) return ledger;
  if (absl::Status s = (*ledger)->Lock(); !s.ok()) return s;
  return ledger;
}

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::OpenToRead(const std::string& path) {
  auto ledger = OpenFile(path, O_RDONLY);
  if (!ledger.ok()) return ledger;
  absl::Status status = (*ledger)->Map(false);
  if (status.ok()) status = (*ledger)->Check(nullptr);
  if (!status.ok()) return status;
  return ledger;
}

absl::Status Ledger::CheckSlots() const {
  for (uint32_t i = 0; i < size_; ++i) {
    if (IsPossible(slots_[i].verdict.load(std::memory_order_relaxed))) continue;
    return Error(absl::StatusCode::kDataLoss,
                 fmt::format("is damaged: nobody can tell what became of recipient {}", i));
  }
  return absl::OkStatus();
}

void Ledger::SettleWhatWasInFlight() {
  for (uint32_t i = 0; i < size_; ++i) {
    if (StateAt(i) != SlotState::kInFlight) continue;
    LedgerSlot slot = Get(i);
    slot.state = SlotState::kUncertain;
    slot.was_uncertain = true;
    slot.code = {};
    slot.stage = CommandKind::kContent;
    slot.due = 0;
    Put(i, slot);
    found_in_flight_.push_back(i);
  }
}

LedgerSlot Ledger::Get(uint32_t index) const {
  const Slot& slot = slots_[index];
  const uint64_t verdict = slot.verdict.load(std::memory_order_acquire);
  return Unpack(verdict, slot.times.load(std::memory_order_relaxed));
}

SlotState Ledger::StateAt(uint32_t index) const {
  return Unpack(slots_[index].verdict.load(std::memory_order_acquire), 0).state;
}

void Ledger::Put(uint32_t index, const LedgerSlot& slot) {
  slots_[index].times.store(PackTimes(slot), std::memory_order_relaxed);
  slots_[index].verdict.store(PackVerdict(slot), std::memory_order_release);
}

void Ledger::Begin(uint32_t index) {
  std::atomic<uint64_t>& verdict = slots_[index].verdict;
  const uint64_t before = verdict.load(std::memory_order_relaxed) & ~uint64_t{0xff};
  verdict.store(before | static_cast<uint64_t>(SlotState::kInFlight), std::memory_order_release);
}

void Ledger::SetDue(uint32_t index, UnixSeconds due) {
  std::atomic<uint64_t>& times = slots_[index].times;
  const uint64_t first = times.load(std::memory_order_relaxed) & ~uint64_t{UINT32_MAX};
  times.store(first | due, std::memory_order_relaxed);
}

Ledger::Counts Ledger::Count() const {
  Counts counts{};
  for (uint32_t i = 0; i < size_; ++i) ++counts[static_cast<size_t>(StateAt(i))];
  return counts;
}

uint64_t Ledger::CountWasUncertain() const {
  uint64_t n = 0;
  for (uint32_t i = 0; i < size_; ++i) n += Get(i).was_uncertain;
  return n;
}

absl::Status Ledger::Sync() {
  if (msync(bytes_, mapped_, MS_SYNC) == 0) return absl::OkStatus();
  return Error(absl::StatusCode::kInternal,
               fmt::format("cannot be synced to disk: {}", std::strerror(errno)));
}

}  // namespace volley::pipeline
