// What people see: the confirmation page and the few answers around it. Small HTML without any
// outside resource; every value in it is escaped.
//
// Threading: functions without state.
#ifndef VOLLEY_PIPELINE_UNSUBSCRIBE_PAGES_H_
#define VOLLEY_PIPELINE_UNSUBSCRIBE_PAGES_H_

#include <string>
#include <string_view>

namespace volley::pipeline {

// "an***@example.org": enough for its owner to know it again, and for a stranger to whom the mail
// was forwarded not to learn it.
std::string MaskAddress(std::string_view address);

// A form that POSTs to the address it came from. `list_name` empty: all mail of the sender.
std::string ConfirmationPage(std::string_view address, std::string_view list_name);
std::string DonePage(std::string_view address, std::string_view list_name);
// The same for every token that is not good.
std::string NotFoundPage();
std::string TroublePage();

// The one style sheet's SHA-256 in base64, for Content-Security-Policy.
std::string StyleHash();

}  // namespace volley::pipeline

#endif  // VOLLEY_PIPELINE_UNSUBSCRIBE_PAGES_H_
