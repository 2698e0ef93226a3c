#include "engine/preflight/providers.h"

#include <algorithm>
#include <string>

#include "engine/preflight/org_domain.h"
#include "engine/preflight/text.h"

namespace volley::engine::preflight {
namespace {

constexpr PublicProvider kProviders[] = {
    {"Gmail", "gmail.com googlemail.com", "gmail.com google.com googlemail.com"},
    {"Yahoo", "yahoo.* ymail.com rocketmail.com myyahoo.com", "yahoo.com yahoo.co.jp"},
    {"AOL", "aol.* aim.com", "aol.com yahoo.com"},
    {"Outlook.com",
     "hotmail.* outlook.com outlook.de outlook.fr outlook.es outlook.it outlook.jp outlook.dk "
     "outlook.at outlook.kr outlook.com.br outlook.co.th msn.com passport.com live.com live.co.uk "
     "live.nl live.fr live.de live.it live.be live.se live.dk live.no live.ca live.jp live.com.au",
     "outlook.com office365.com hotmail.com live.com"},
    {"iCloud", "icloud.com me.com mac.com", "me.com icloud.com apple.com"},
    {"GMX", "gmx.*", "gmx.com gmx.net"},
    {"WEB.DE", "web.de", "web.de"},
    {"T-Online", "t-online.de magenta.de", "t-online.de"},
    {"Mail.ru", "mail.ru inbox.ru list.ru bk.ru internet.ru", "mail.ru"},
    {"Yandex", "yandex.* ya.ru", "yandex.com yandex.ru yandex.net"},
    {"Proton", "proton.me protonmail.com protonmail.ch pm.me", "protonmail.ch proton.me"},
    {"Comcast", "comcast.net", "comcast.net"},
    {"Orange", "orange.fr wanadoo.fr", "orange.fr"},
    {"Free", "free.fr", "free.fr"},
    {"QQ", "qq.com foxmail.com", "qq.com"},
    {"NetEase", "163.com 126.com yeah.net", "163.com 126.com yeah.net"},
};

constexpr RelayService kServices[] = {
    {"Amazon SES", "amazonaws.com", "amazonses.com", true},
    {"SendGrid", "sendgrid.net", "sendgrid.net", true},
    {"Mailgun", "mailgun.org", "mailgun.org", false},
    {"Postmark", "postmarkapp.com", "spf.mtasv.net", true},
    {"Mailjet", "mailjet.com", "spf.mailjet.com", true},
    {"Brevo", "brevo.com sendinblue.com", "spf.brevo.com", true},
    {"SparkPost", "sparkpostmail.com", "sparkpostmail.com", true},
    {"Mandrill", "mandrillapp.com", "spf.mandrillapp.com", true},
    {"Google Workspace", "gmail.com google.com", "_spf.google.com", false},
    {"Microsoft 365", "office365.com outlook.com", "spf.protection.outlook.com", false},
};

bool IsWithinAny(std::string_view host, std::string_view parents) {
  const auto list = Split(parents, ' ');
  return std::any_of(list.begin(), list.end(),
                     [&](std::string_view parent) { return IsWithin(host, parent); });
}

bool IsDomainOf(std::string_view domain, std::string_view pattern) {
  if (!pattern.ends_with(".*")) return EqualsNoCase(domain, pattern);
  return StartsWithNoCase(domain, pattern.substr(0, pattern.size() - 1)) &&
         OrganizationalDomain(domain) == ToLower(domain);
}

}  // namespace

const PublicProvider* FindPublicProvider(std::string_view domain) {
  for (const PublicProvider& provider : kProviders) {
    for (const std::string_view pattern : Split(provider.domains, ' ')) {
      if (IsDomainOf(domain, pattern)) return &provider;
    }
  }
  return nullptr;
}

bool IsServerOf(const PublicProvider& provider, std::string_view host) {
  return IsWithinAny(host, provider.servers);
}

const RelayService* FindRelayService(std::string_view host) {
  const auto* it =
      std::find_if(std::begin(kServices), std::end(kServices),
                   [&](const RelayService& s) { return IsWithinAny(host, s.servers); });
  return it == std::end(kServices) ? nullptr : it;
}

}  // namespace volley::engine::preflight
