#include "pipeline/deliver/press.h"

#include <utility>

namespace volley::pipeline {

Press::Press(io::Reactor* reactor, const Campaign* campaign,
             std::shared_ptr<const SuppressionSnapshot> suppressed, Peek peek)
    : reactor_(reactor), campaign_(campaign), peek_(std::move(peek)), maker_(&campaign->recipe()) {
  if (suppressed != nullptr) suppressed_.emplace(std::move(suppressed));
}

Press::~Press() { reactor_->CancelTimer(this); }

Press::Made Press::Make(const Job& job, Copy* out) {
  Made made;
  made.record = &record_;
  absl::Status status = campaign_->recipients().ReadAt(job.offset, &record_).status();
  if (status.ok() && suppressed_) {
    const absl::StatusOr<bool> suppressed = suppressed_->Contains(record_.address);
    if (!suppressed.ok()) {
      // Who cannot be looked up might be one who said no: nobody is mailed on a guess.
      made.outcome = Outcome::kDeferred;
      made.why = std::string(suppressed.status().message());
      return made;
    }
    if (*suppressed) {
      maker_.Forget(record_.index);  // it may have been signed ahead
      made.outcome = Outcome::kSuppressed;
      made.why = "is on the suppression list";
      return made;
    }
  }
  if (status.ok()) status = maker_.Make(&record_, out);
  if (!status.ok()) {
    made.outcome = Outcome::kUnrenderable;
    made.why = std::string(status.message());
  }
  return made;
}

void Press::StartAhead() {
  if (ahead_ || !maker_.can_keep()) return;
  ahead_ = true;
  ahead_next_ = 0;
  reactor_->SetTimer(this, reactor_->Now());
}

void Press::StopAhead() {
  if (!ahead_) return;
  ahead_ = false;
  reactor_->CancelTimer(this);
}

// One signature a turn: it takes a quarter of a millisecond, and replies may be waiting.
void Press::OnTimer() {
  const Job* job = maker_.can_keep() ? peek_(ahead_next_++) : nullptr;
  if (job == nullptr) return StopAhead();
  if (campaign_->recipients().ReadAt(job->offset, &record_).ok() && maker_.SignAhead(&record_)) {
    ++signed_ahead_;
  }
  reactor_->SetTimer(this, reactor_->Now());
}

}  // namespace volley::pipeline
