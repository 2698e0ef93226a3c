#include "pipeline/deliver/press.h"

#include <algorithm>
#include <utility>

namespace volley::pipeline {

Press::Part::Part(const FlowMail& mail) : campaign(mail.campaign), maker(&mail.campaign->recipe()) {
  if (mail.suppressed != nullptr) suppressed.emplace(mail.suppressed);
}

Press::Press(io::Reactor* reactor, std::span<const FlowMail> flows, Peek peek)
    : reactor_(reactor), peek_(std::move(peek)) {
  for (const FlowMail& mail : flows) parts_.push_back(std::make_unique<Part>(mail));
}

Press::~Press() { reactor_->CancelTimer(this); }

Press::Made Press::Make(const Job& job, Copy* out) {
  Part& part = *parts_[job.flow];
  Made made;
  made.record = &record_;
  absl::Status status = part.campaign->recipients().ReadAt(job.offset, &record_).status();
  if (status.ok() && part.suppressed) {
    const absl::StatusOr<bool> suppressed = part.suppressed->Contains(record_.address);
    if (!suppressed.ok()) {
      // Who cannot be looked up might be one who said no: nobody is mailed on a guess.
      made.outcome = Outcome::kDeferred;
      made.why = std::string(suppressed.status().message());
      return made;
    }
    if (*suppressed) {
      part.maker.Forget(record_.index);  // it may have been signed ahead
      made.outcome = Outcome::kSuppressed;
      made.why = "is on the suppression list";
      return made;
    }
  }
  if (status.ok()) status = part.maker.Make(&record_, out);
  if (!status.ok()) {
    made.outcome = Outcome::kUnrenderable;
    made.why = std::string(status.message());
  }
  return made;
}

bool Press::can_keep() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const auto& part) { return part->maker.can_keep(); });
}

void Press::StartAhead() {
  if (ahead_ || !can_keep()) return;
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
  const Job* job = can_keep() ? peek_(ahead_next_++) : nullptr;
  if (job == nullptr) return StopAhead();
  Part& part = *parts_[job->flow];
  if (part.maker.can_keep() && part.campaign->recipients().ReadAt(job->offset, &record_).ok() &&
      part.maker.SignAhead(&record_)) {
    ++signed_ahead_;
  }
  reactor_->SetTimer(this, reactor_->Now());
}

}  // namespace volley::pipeline
