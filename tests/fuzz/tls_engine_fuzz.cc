// Hostile bytes against both sides of TLS. The first byte of the input chooses the side and how the
// rest is cut; nothing may crash, and nothing may be taken for data. What OpenSSL does with its
// bytes is its own; ours are the BIO, the error mapping and what is said about the peer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "io/tls/tls_engine.h"
#include "tests/io/tls/certificates.h"

namespace {

using volley::io::TlsEngine;

struct Contexts {
  Contexts() {
    volley::io::TlsClientOptions client_options;
    client_options.ca_file = pki.ca_file();
    client = std::make_unique<volley::io::TlsClientContext>(
        *volley::io::TlsClientConfig::Create(client_options));
    volley::io::TlsServerOptions server_options;
    server_options.certificate = pki.Leaf({});
    server = std::make_unique<volley::io::TlsServerContext>(
        *volley::io::TlsServerConfig::Create(server_options));
  }
  volley::io::TestPki pki;
  std::unique_ptr<volley::io::TlsClientContext> client;
  std::unique_ptr<volley::io::TlsServerContext> server;
};

void Drive(TlsEngine& engine, std::span<const char> bytes, size_t step) {
  engine.Handshake();
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(step, bytes.size()));
    bytes = bytes.subspan(part.size());
    engine.Feed(part);
    const TlsEngine::Step result = engine.Handshake();
    if (result == TlsEngine::Step::kDone) std::abort();  // nobody guesses a Finished
    if (result == TlsEngine::Step::kFailed) break;
  }
  const volley::io::TlsError error =
      engine.TakeError(volley::io::TlsFailure::kPeerClosed, "closed");
  if (error.failure == volley::io::TlsFailure::kNone || error.message.empty()) std::abort();
  for (const char c : error.message) {
    if (c < ' ' || c > '~') std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Contexts contexts;
  if (size == 0) return 0;
  const std::span<const char> bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t step = size_t{1} << (data[0] >> 1 & 0xf);
  if ((data[0] & 1) != 0) {
    TlsEngine engine(contexts.server.get());
    Drive(engine, bytes, step);
  } else {
    volley::io::TlsConnectOptions options;
    options.server_name = "mx.example.com";
    TlsEngine engine(contexts.client.get(), options);
    Drive(engine, bytes, step);
  }
  return 0;
}
