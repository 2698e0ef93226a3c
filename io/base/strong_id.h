// StrongId: an integer that does not mix with other integers. `using LaneId = StrongId<struct
// LaneTag>;` Costs nothing at run time.
#ifndef VOLLEY_IO_BASE_STRONG_ID_H_
#define VOLLEY_IO_BASE_STRONG_ID_H_

#include <compare>
#include <cstdint>
#include <utility>

namespace volley::io {

template <typename Tag, typename Int = uint32_t>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(Int value) : value_(value) {}
  constexpr Int value() const { return value_; }
  constexpr auto operator<=>(const StrongId&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, StrongId id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  Int value_ = 0;
};

}  // namespace volley::io

#endif  // VOLLEY_IO_BASE_STRONG_ID_H_
