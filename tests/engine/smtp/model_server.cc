#include "tests/engine/smtp/model_server.h"

#include <algorithm>
#include <cstdlib>

namespace volley::engine::smtp {
namespace {

// The number behind `marker` in `line`.
uint64_t NumberAfter(std::string_view line, std::string_view marker) {
  const size_t at = line.find(marker);
  if (at == std::string_view::npos) return UINT64_MAX;
  return std::strtoull(std::string(line.substr(at + marker.size())).c_str(), nullptr, 10);
}

}  // namespace

void ModelServer::Receive(std::string_view bytes) {
  input_.append(bytes);
  while (!input_.empty() && !hung_up_) {
    if (quit_) return Fault("bytes after QUIT: " + input_);
    if (in_bdat_) {
      const size_t n = std::min<uint64_t>(bdat_left_, input_.size());
      content_.append(input_, 0, n);
      input_.erase(0, n);
      bdat_left_ -= n;
      if (bdat_left_ == 0) EndContent();
      continue;
    }
    const size_t end = input_.find("\r\n");
    if (end == std::string::npos) return;
    const std::string line = input_.substr(0, end);
    input_.erase(0, end + 2);
    if (in_data_) {
      TakeDataLine(line);
    } else {
      TakeLine(line);
    }
  }
}

void ModelServer::TakeLine(std::string_view line) {
  if (line.size() > 510 + 26 + 17 + 10) Fault("a command that is too long");
  // RFC 2920 §3.1: nothing behind a command that must be last in its group; and nothing behind
  // anything unanswered for a server that offered no PIPELINING.
  const uint64_t wait_for_bytes = pipelining_ ? wait_for_bytes_ : said_bytes_;
  if (delivered_bytes_ < wait_for_bytes) Fault("not its turn: " + std::string(line));
  if (bdat_failed_ && line != "RSET") Fault("no RSET after a failed BDAT");
  if (line.starts_with("EHLO ") || line.starts_with("HELO ") || line.starts_with("LHLO ")) {
    OnHello(line);
  } else if (line.starts_with("MAIL FROM:<")) {
    OnMail(line);
  } else if (line.starts_with("RCPT TO:<")) {
    OnRcpt(line);
  } else if (line == "DATA") {
    OnData();
    wait_for_bytes_ = said_bytes_;
  } else if (line.starts_with("BDAT ")) {
    OnBdat(line);
  } else if (line == "RSET") {
    Clear();
    bdat_failed_ = false;
    Say("250 reset\r\n", coin_());
  } else if (line == "QUIT") {
    quit_ = true;
    Say("221 bye\r\n", coin_());
  } else {
    Fault("not a command: " + std::string(line));
  }
}

void ModelServer::OnHello(std::string_view line) {
  if (line.starts_with("LHLO") != options_.lmtp) Fault("the wrong hello");
  std::string reply = "250-model\r\n";
  if (!line.starts_with("HELO")) {
    if (options_.pipelining) reply += "250-PIPELINING\r\n";
    if (options_.chunking) reply += "250-CHUNKING\r\n";
    if (!options_.limits.empty()) reply += "250-" + options_.limits + "\r\n";
  }
  const bool extended = Say(reply + "250 HELP\r\n", coin_()) && !line.starts_with("HELO");
  pipelining_ = extended && options_.pipelining;
  chunking_ = extended && options_.chunking;
  wait_for_bytes_ = said_bytes_;
}

void ModelServer::OnMail(std::string_view line) {
  ++mails_;
  if (in_mail_) Fault("MAIL inside a transaction");
  if (!Say("250 sender ok\r\n", coin_())) return;
  in_mail_ = true;
  tag_ = NumberAfter(line, "<t");
}

void ModelServer::OnRcpt(std::string_view line) {
  if (!in_mail_) {
    Say("503 no MAIL\r\n", Mood::kFine);
    return;
  }
  if (NumberAfter(line, ".t") != tag_) Fault("a recipient of another transaction");
  if (Say("250 recipient ok\r\n", coin_())) {
    accepted_.push_back(static_cast<uint32_t>(NumberAfter(line, "<r")));
  }
}

void ModelServer::OnData() {
  if (chunking_) Fault("DATA though CHUNKING was offered");
  if (!in_mail_ || (accepted_.empty() && options_.lmtp)) {
    Say("503 no recipients\r\n", Mood::kFine);
    return;
  }
  // RFC 2920 §3.1: some say 354 to nobody, and wait for a dot.
  if (accepted_.empty() && coin_() == Mood::kFine) {
    Say("554 no valid recipients\r\n", Mood::kFine);
    return;
  }
  in_data_ = Say("354 go ahead\r\n", coin_());
}

void ModelServer::OnBdat(std::string_view line) {
  if (!line.ends_with(" LAST")) Fault("a chunk that is not LAST");
  if (accepted_.empty()) Fault("BDAT without a recipient");
  in_bdat_ = true;
  bdat_left_ = NumberAfter(line, "BDAT ");
  if (bdat_left_ == 0) EndContent();
}

void ModelServer::TakeDataLine(std::string_view line) {
  // A byte of content before the 354 was read is the one thing never to do.
  if (delivered_bytes_ < wait_for_bytes_) Fault("content before 354");
  if (line == ".") return EndContent();
  if (line.starts_with('.')) line.remove_prefix(1);
  content_.append(line).append("\r\n");
}

void ModelServer::EndContent() {
  const bool bdat = std::exchange(in_bdat_, false);
  in_data_ = false;
  const std::vector<uint32_t> accepted = accepted_;
  const uint64_t tag = tag_;
  const std::string content = std::exchange(content_, "");
  if (!accepted.empty() && content != contents_[tag]) Fault("the content differs");
  if (accepted.empty() && !content.empty()) Fault("content for nobody");
  if (std::exchange(refused_early_, false)) {
    bdat_failed_ = bdat;
    Clear();
    return;
  }
  bool failed = false;
  if (options_.lmtp || accepted.empty()) {
    for (const uint32_t recipient : accepted) {
      if (hung_up_) break;
      if (Say("250 taken\r\n", coin_()))
        delivered_.insert({tag, recipient});
      else
        failed = true;
    }
    if (accepted.empty()) Say("250 taken\r\n", coin_());
  } else if (Say("250 taken\r\n", coin_())) {
    for (const uint32_t recipient : accepted) delivered_.insert({tag, recipient});
  } else {
    failed = true;
  }
  // In LMTP only the last reply decides what the client knows of the chunk; RSET is asked for in
  // any case where nothing was taken.
  bdat_failed_ = bdat && failed && !options_.lmtp;
  Clear();
}

bool ModelServer::RefuseEarly() {
  if (hung_up_ || refused_early_ || options_.lmtp || accepted_.empty() ||
      (!in_data_ && !in_bdat_)) {
    return false;
  }
  if (delivered_bytes_ < wait_for_bytes_) return false;  // the 354 first
  refused_early_ = true;
  Say("552 enough of it\r\n", Mood::kFine);
  return true;
}

void ModelServer::Clear() {
  in_mail_ = false;
  accepted_.clear();
}

std::string_view ModelServer::Words(std::string_view positive, Mood mood) {
  switch (mood) {
    case Mood::kFine:
      return positive;
    case Mood::kTransient:
      return "451-4.3.0 try\r\n451 4.3.0 later\r\n";
    case Mood::kPermanent:
      return "550 5.7.1 no\r\n";
    case Mood::kTooMany:
      return "452 4.5.3 too many\r\n";
    case Mood::kClosing:
      return "421 4.3.2 closing\r\n";
    case Mood::kNonsense:
      return "354 what\r\n";
    case Mood::kHangUp:
      break;
  }
  return "";
}

bool ModelServer::Say(std::string_view positive, Mood mood) {
  const std::string_view words = Words(positive, mood);
  replies_ += words;
  said_bytes_ += words.size();
  if (mood == Mood::kClosing || mood == Mood::kNonsense || mood == Mood::kHangUp) hung_up_ = true;
  return mood == Mood::kFine;
}

}  // namespace volley::engine::smtp
