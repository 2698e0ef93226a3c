#include "pipeline/check/similar_names.h"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "engine/base/nearest_name.h"
#include "pipeline/route/presets.h"
#include "pipeline/route/relay_url.h"

namespace volley::pipeline {
namespace {

// Servers without a preset, or with several names.
constexpr std::string_view kOtherHosts[] = {
    "aspmx.l.google.com",     "smtp.office365.com", "smtp-mail.outlook.com", "smtp.live.com",
    "smtp.mail.me.com",       "smtp.gmx.net",       "mail.gmx.net",          "smtp.web.de",
    "smtp.ionos.com",         "smtp.1und1.de",      "smtp.orange.fr",        "smtp.free.fr",
    "smtp.comcast.net",       "smtp.zoho.com",      "smtp.zoho.eu",          "smtp.yandex.com",
    "securesmtp.t-online.de",
};

std::vector<std::string> KnownHosts() {
  std::vector<std::string> hosts;
  for (const Preset& preset : Presets()) {
    const auto found =
        FindPreset(preset.argument.empty() ? preset.name : preset.name + ":" + preset.example);
    if (!found.ok()) continue;
    if (const auto url = ParseRelayUrl(found->url); url.ok()) hosts.push_back(url->host);
  }
  hosts.insert(hosts.end(), std::begin(kOtherHosts), std::end(kOtherHosts));
  return hosts;
}

// "gmail" of "smtp.gmail.com": the label before the last.
std::string_view DomainLabel(std::string_view host) {
  const size_t last = host.rfind('.');
  if (last == std::string_view::npos) return host;
  const size_t before = last == 0 ? std::string_view::npos : host.rfind('.', last - 1);
  const size_t begin = before == std::string_view::npos ? 0 : before + 1;
  return host.substr(begin, last - begin);
}

// What the callbacks of the resolver's thread and the waiting thread share, until the last of them
// lets go.
struct Answers {
  explicit Answers(size_t names) : has_address(names), missing(2 * names) {}
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<bool> has_address;
  size_t missing;
};

}  // namespace

std::string NearestKnownHost(std::string_view host) {
  static const std::vector<std::string> hosts = KnownHosts();
  const std::string nearest = engine::NearestName(host, hosts);
  if (nearest.empty() || nearest == host) return "";
  // With the same "smtp." and ".com" around it, another company's name is near too.
  const std::string name(DomainLabel(nearest));
  return engine::NearestName(DomainLabel(host), {&name, 1}).empty() ? "" : nearest;
}

std::vector<std::string> LikelyServerNames(std::string_view host) {
  std::vector<std::string> names;
  const auto add = [&](std::string_view domain) {
    if (domain.find('.') == std::string_view::npos) return;
    for (const std::string_view label : {"smtp.", "mail."}) {
      std::string name = std::string(label).append(domain);
      if (name != host) names.push_back(std::move(name));
    }
  };
  add(host);
  const size_t dot = host.find('.');
  if (dot != std::string_view::npos) add(host.substr(dot + 1));
  return names;
}

std::vector<std::string> NamesThatExist(std::span<const std::string> names, io::Resolver* resolver,
                                        absl::Duration timeout) {
  const auto answers = std::make_shared<Answers>(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    for (const io::DnsType type : {io::DnsType::kAaaa, io::DnsType::kA}) {
      resolver->Lookup(names[i], type, [answers, i](const io::DnsAnswer& answer) {
        const std::lock_guard lock(answers->mutex);
        if (answer.status == io::DnsStatus::kOk) answers->has_address[i] = true;
        --answers->missing;
        answers->changed.notify_one();
      });
    }
  }
  std::unique_lock lock(answers->mutex);
  answers->changed.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                            [&] { return answers->missing == 0; });
  std::vector<std::string> exist;
  for (size_t i = 0; i < names.size(); ++i) {
    if (answers->has_address[i]) exist.push_back(names[i]);
  }
  return exist;
}

}  // namespace volley::pipeline
