// The message of `volley check --send-test`: as small as RFC 5322 allows, and recognizable.
//
// Threading: functions without state.
#ifndef VOLLEY_PIPELINE_CHECK_TEST_MESSAGE_H_
#define VOLLEY_PIPELINE_CHECK_TEST_MESSAGE_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace volley::pipeline {

// In canonical form: CRLF, no line begins with a dot. `from` and `to` are canonical addresses;
// `relay` is named in the text and must be ASCII. `unique`: for the Message-ID, of its characters.
// RFC 3834 §5: Auto-Submitted keeps vacation programs from answering.
std::string MakeTestMessage(std::string_view from, std::string_view to, std::string_view relay,
                            std::string_view unique, absl::Time now);

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_CHECK_TEST_MESSAGE_H_
