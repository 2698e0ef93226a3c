// What TLS costs beside OpenSSL itself: a 10 KB message through a channel against a bare SSL_write,
// handshakes, and the memory of sessions that wait.
//
// The reactor here is a stub that takes every Send at once: what is measured is io/tls, not a
// kernel. RealReactor measures the whole with a sink in another thread; its CPU column is the
// sender's.
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "io/base/check.h"
#include "io/reactor/reactor.h"
#include "io/tls/channel.h"
#include "io/tls/openssl_ptr.h"
#include "io/tls/tls_engine.h"

namespace volley::io {
namespace {

// One stream that exists only as far as a channel sees it; its peer is a TlsEngine.
class StubReactor final : public Reactor {
 public:
  std::string_view name() const override { return "stub"; }
  MonoTime Now() const override { return MonoTime::FromNanos(0); }
  StreamId Connect(const Endpoint&, const ConnectOptions&, StreamHandler* handler) override {
    handler_ = handler;
    return {0, 0};
  }
  void SetHandler(StreamId, StreamHandler* handler) override { handler_ = handler; }
  void Send(StreamId, std::span<const iovec> pieces) override {
    for (const iovec& piece : pieces) {
      bytes_ += piece.iov_len;
      if (keep_) sent_.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    pending_ = true;
  }
  void ShutdownWrite(StreamId) override {}
  void Close(StreamId) override { open_ = false; }
  bool IsOpen(StreamId) const override { return open_; }
  Endpoint LocalEndpoint(StreamId) const override { return {}; }
  absl::StatusOr<ListenerId> Listen(const Endpoint&, ListenHandler*) override {
    return absl::UnimplementedError("stub");
  }
  Endpoint ListenEndpoint(ListenerId) const override { return {}; }
  void CloseListener(ListenerId) override {}
  void SetTimer(Timer*, MonoTime) override {}
  void CancelTimer(Timer*) override {}
  void SetWakeHandler(std::function<void()>) override {}
  void Wake() override {}
  void Run() override {
    while (std::exchange(pending_, false)) handler_->OnSent();
  }
  void RunOnce(absl::Duration) override { Run(); }
  void Stop() override {}
  size_t open_streams() const override { return open_ ? 1 : 0; }

  StreamHandler* handler() const { return handler_; }
  std::string TakeSent() { return std::exchange(sent_, ""); }
  void KeepSent(bool keep) { keep_ = keep; }
  uint64_t bytes() const { return bytes_; }
  // What a real reactor does at the end of its life is to forget its streams.
  void CloseNow() { handler_->OnClosed({}); }

 private:
  StreamHandler* handler_ = nullptr;
  std::string sent_;
  uint64_t bytes_ = 0;
  bool pending_ = false, keep_ = true, open_ = true;
};

class Nobody final : public ChannelHandler {
 public:
  void OnTlsReady(const TlsInfo&) override { ready = true; }
  void OnData(std::span<const char>) override {}
  void OnSent() override { ++sent; }
  void OnPeerClosed() override {}
  void OnClosed(const CloseInfo&) override {}
  bool ready = false;
  uint64_t sent = 0;
};

// A self-signed certificate (ECDSA P-256) for mx.example.com, which the client trusts by itself.
std::string MakeCertificatePem() {
  const PkeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr certificate(X509_new());
  X509* const x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), 0);
  X509_gmtime_adj(X509_getm_notAfter(x), 86400);
  X509_set_pubkey(x, key.get());
  X509_NAME* const name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("bench"), -1, -1, 0);
  X509_set_issuer_name(x, name);
  X509_EXTENSION* const names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:mx.example.com");
  X509_add_ext(x, names, -1);
  X509_EXTENSION_free(names);
  VOLLEY_CHECK(X509_sign(x, key.get(), EVP_sha256()) != 0);
  const BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), x);
  PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* text = nullptr;
  const long bytes = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(bytes)};
}

struct Credentials {
  Credentials() {
    std::string file = std::filesystem::temp_directory_path() / "volley_tls_bench_XXXXXX";
    const int fd = mkstemp(file.data());
    const std::string pem = MakeCertificatePem();
    VOLLEY_CHECK(fd >= 0 && write(fd, pem.data(), pem.size()) == static_cast<ssize_t>(pem.size()));
    close(fd);
    TlsServerOptions server_options;
    server_options.certificate.certificate_file = file;
    server = *TlsServerConfig::Create(server_options);
    TlsClientOptions client_options;
    client_options.ca_file = file;
    client = *TlsClientConfig::Create(client_options);
    unlink(file.c_str());
  }
  static Credentials& Get() {
    static Credentials made;
    return made;
  }
  std::shared_ptr<const TlsServerConfig> server;
  std::shared_ptr<const TlsClientConfig> client;
};

TlsConnectOptions To(const std::string& key = "") {
  TlsConnectOptions options;
  options.server_name = "mx.example.com";
  options.session_key = key;
  return options;
}

std::string TakeOutput(TlsEngine& engine) {
  std::string bytes;
  if (engine.output().waiting() == 0) return bytes;
  std::array<iovec, TlsOutput::kPiecesMax> pieces;
  for (const iovec& piece : engine.output().Give(pieces)) {
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  engine.output().Sent();
  return bytes;
}

void Shake(TlsEngine& client, TlsEngine& server) {
  std::string to_server, to_client;
  TlsEngine::Step step = client.Handshake();
  TlsEngine::Step other = TlsEngine::Step::kWantsInput;
  while (step == TlsEngine::Step::kWantsInput || other == TlsEngine::Step::kWantsInput) {
    to_server = TakeOutput(client);
    server.Feed(to_server);
    other = server.Handshake();
    to_client = TakeOutput(server);
    client.Feed(to_client);
    if (step == TlsEngine::Step::kWantsInput) step = client.Handshake();
  }
  VOLLEY_CHECK(step == TlsEngine::Step::kDone && other == TlsEngine::Step::kDone);
  char buffer[256];
  size_t count = 0;
  client.Read(buffer, &count);  // the tickets
  client.Feed({});
  server.Feed({});
}

// A message as the composer gives it: a few small pieces and a shared body.
struct Message {
  explicit Message(size_t bytes) : body(bytes - 10 * head.size(), 'x') {
    for (int i = 0; i < 10; ++i) pieces.push_back({head.data(), head.size()});
    pieces.push_back({body.data(), body.size()});
  }
  std::string head = std::string(60, 'h');
  std::string body;
  std::vector<iovec> pieces;
};

// --- sending -------------------------------------------------------------------------------------

int DiscardWrite(BIO*, const char*, size_t count, size_t* written) {
  *written = count;
  return 1;
}

// The floor: OpenSSL alone, one buffer, a BIO that drops everything.
void BareSslWrite(benchmark::State& state) {
  SSL_CTX* const client_ctx = SSL_CTX_new(TLS_client_method());
  SslPtr client(SSL_new(client_ctx)), server(SSL_new(Credentials::Get().server->ssl_ctx()));
  BIO *near_end = nullptr, *far_end = nullptr;
  BIO_new_bio_pair(&near_end, 1 << 20, &far_end, 1 << 20);
  SSL_set_bio(client.get(), near_end, near_end);
  SSL_set_bio(server.get(), far_end, far_end);
  SSL_set_connect_state(client.get());
  SSL_set_accept_state(server.get());
  SSL_set_ciphersuites(client.get(), "TLS_AES_128_GCM_SHA256");
  bool done = false;
  while (!done) {
    done = SSL_do_handshake(client.get()) == 1;
    done = SSL_do_handshake(server.get()) == 1 && done;
  }
  BIO_METHOD* const method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "discard");
  BIO_meth_set_write_ex(method, &DiscardWrite);
  // Only the flush: whoever says yes to all claims to have kernel TLS, and nothing is encrypted.
  BIO_meth_set_ctrl(method,
                    [](BIO*, int cmd, long, void*) -> long { return cmd == BIO_CTRL_FLUSH; });
  SSL_set0_wbio(client.get(), BIO_new(method));
  BIO_set_init(SSL_get_wbio(client.get()), 1);
  const std::string message(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    size_t written = 0;
    VOLLEY_CHECK(SSL_write_ex(client.get(), message.data(), message.size(), &written) == 1);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  client.reset();
  BIO_meth_free(method);
  SSL_CTX_free(client_ctx);
}
BENCHMARK(BareSslWrite)->Arg(1000)->Arg(10'000)->Arg(100'000);

void ChannelSend(benchmark::State& state) {
  StubReactor reactor;
  TlsClientContext client_context(Credentials::Get().client);
  TlsServerContext server_context(Credentials::Get().server);
  Nobody handler;
  Channel channel(&reactor, &handler);
  TlsEngine server(&server_context);
  channel.ConnectTls({}, {}, &client_context, To());
  reactor.handler()->OnConnected();
  while (!handler.ready) {
    reactor.Run();
    const std::string sent = reactor.TakeSent();
    server.Feed(sent);
    server.Handshake();
    const std::string reply = TakeOutput(server);
    reactor.handler()->OnData(reply);
  }
  reactor.Run();
  reactor.KeepSent(false);
  const Message message(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    channel.Send(message.pieces);
    reactor.Run();
  }
  VOLLEY_CHECK(handler.sent == static_cast<uint64_t>(state.iterations()));
  state.SetBytesProcessed(state.iterations() * state.range(0));
  reactor.CloseNow();
}
BENCHMARK(ChannelSend)->Arg(1000)->Arg(10'000)->Arg(100'000);

void PlainChannelSend(benchmark::State& state) {
  StubReactor reactor;
  Nobody handler;
  Channel channel(&reactor, &handler);
  channel.Connect({}, {});
  reactor.KeepSent(false);
  const Message message(10'000);
  for (auto _ : state) {
    channel.Send(message.pieces);
    reactor.Run();
  }
}
BENCHMARK(PlainChannelSend);

void ReactorSend(benchmark::State& state) {  // what PlainChannelSend is compared with
  StubReactor reactor;
  Nobody handler;
  const StreamId id = reactor.Connect({}, {}, &handler);
  reactor.KeepSent(false);
  const Message message(10'000);
  Reactor& base = reactor;
  for (auto _ : state) {
    base.Send(id, message.pieces);
    reactor.Run();
  }
}
BENCHMARK(ReactorSend);

// --- handshakes ----------------------------------------------------------------------------------

// Both ends; ECDSA P-256 certificate.
void Handshake(benchmark::State& state) {
  TlsClientContext client_context(Credentials::Get().client);
  TlsServerContext server_context(Credentials::Get().server);
  const bool resume = state.range(0) != 0;
  for (auto _ : state) {
    TlsEngine client(&client_context, To(resume ? "relay" : ""));
    TlsEngine server(&server_context);
    Shake(client, server);
    benchmark::DoNotOptimize(client.MakeInfo());
  }
  const TlsSessionStats& stats = client_context.stats();
  state.counters["resumed_percent"] =
      100.0 * static_cast<double>(stats.resumed) / static_cast<double>(stats.handshakes);
}
BENCHMARK(Handshake)->Arg(0)->Arg(1)->ArgName("resume");

// --- memory --------------------------------------------------------------------------------------

size_t HeapBytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Client ends only, after a handshake, a message and a reply.
void IdleSessions(benchmark::State& state) {
  const auto count = static_cast<size_t>(state.range(0));
  const bool resume = state.range(1) != 0;
  for (auto _ : state) {
    TlsClientContext client_context(Credentials::Get().client);
    TlsServerContext server_context(Credentials::Get().server);
    const size_t before = HeapBytes();
    std::vector<std::unique_ptr<TlsEngine>> clients;
    const std::string message(10'000, 'x');
    for (size_t i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<TlsEngine>(&client_context, To(resume ? "relay" : "")));
      TlsEngine server(&server_context);
      Shake(*clients.back(), server);
      clients.back()->MakeInfo();
      VOLLEY_CHECK(clients.back()->Write(message.data(), message.size()) == TlsEngine::Step::kDone);
      TakeOutput(*clients.back());
    }
    const double each = static_cast<double>(HeapBytes() - before) / static_cast<double>(count);
    state.counters["KiB_each"] = each / 1024;
    state.counters["MiB_all"] = each * static_cast<double>(count) / 1024 / 1024;
  }
}
BENCHMARK(IdleSessions)
    ->Args({5000, 0})
    ->Args({5000, 1})
    ->ArgNames({"sessions", "resume"})
    ->Iterations(1);

// --- over the kernel -----------------------------------------------------------------------------

constexpr size_t kMessageBytes = 10'000;

// Takes messages of kMessageBytes and answers each.
class Sink final : public ChannelHandler, public ListenHandler {
 public:
  Sink(Reactor* reactor, TlsServerContext* context)
      : reactor_(reactor), context_(context), channel_(reactor, this) {}
  StreamHandler* OnAccept(StreamId id, const Endpoint&) override {
    channel_.Adopt(id);
    if (context_ != nullptr) channel_.StartTlsServer(context_, {});
    return channel_.stream_handler();
  }
  void OnAcceptPaused(const absl::Status&, bool) override {}
  void OnData(std::span<const char> bytes) override {
    have_ += bytes.size();
    Answer();
  }
  void OnSent() override {
    sending_ = false;
    Answer();
  }
  void OnPeerClosed() override { channel_.Close(); }
  void OnClosed(const CloseInfo&) override { reactor_->Stop(); }

 private:
  void Answer() {
    if (sending_ || have_ < kMessageBytes) return;
    have_ -= kMessageBytes;
    sending_ = true;
    const iovec piece{const_cast<char*>("250 OK\r\n"), 8};
    channel_.Send({&piece, 1});
  }
  Reactor* const reactor_;
  TlsServerContext* const context_;
  Channel channel_;
  size_t have_ = 0;
  bool sending_ = false;
};

class Sender final : public ChannelHandler {
 public:
  void OnConnected() override { connected = true; }
  void OnTlsReady(const TlsInfo&) override { ready = true; }
  void OnData(std::span<const char> bytes) override { replied += bytes.size(); }
  void OnSent() override { sending = false; }
  void OnPeerClosed() override {}
  void OnClosed(const CloseInfo&) override { closed = true; }
  bool connected = false, ready = false, sending = false, closed = false;
  size_t replied = 0;
};

// One message at a time and its reply over loopback. tls: 0 or 1; backend as BackendChoice.
void RealReactor(benchmark::State& state) {
  const bool tls = state.range(0) != 0;
  const ReactorOptions options{.backend = static_cast<BackendChoice>(state.range(1))};
  Endpoint endpoint;
  std::atomic<bool> listening = false;
  std::thread sink_thread([&] {
    auto created = CreateReactor({.backend = BackendChoice::kEpoll});
    TlsServerContext context(Credentials::Get().server);
    Sink sink(created->reactor.get(), tls ? &context : nullptr);
    const auto id = created->reactor->Listen(*Endpoint::FromIp("127.0.0.1", 0), &sink);
    endpoint = created->reactor->ListenEndpoint(*id);
    listening = true;
    created->reactor->Run();
    created->reactor.reset();
  });
  while (!listening) std::this_thread::yield();
  {
    TlsClientContext context(Credentials::Get().client);
    auto created = CreateReactor(options);
    VOLLEY_CHECK(created.ok());
    Reactor& reactor = *created->reactor;
    Sender sender;
    Channel channel(&reactor, &sender);
    if (tls) {
      channel.ConnectTls(endpoint, {}, &context, To());
    } else {
      channel.Connect(endpoint, {});
    }
    while (!(tls ? sender.ready : sender.connected)) reactor.RunOnce(absl::Seconds(1));
    const Message message(kMessageBytes);
    for (auto _ : state) {
      sender.sending = true;
      sender.replied = 0;
      channel.Send(message.pieces);
      while (sender.sending || sender.replied < 8) reactor.RunOnce(absl::Seconds(1));
    }
    channel.Close();
    while (!sender.closed) reactor.RunOnce(absl::Seconds(1));
    created->reactor.reset();
  }
  sink_thread.join();
}
BENCHMARK(RealReactor)
    ->Args({0, static_cast<int>(BackendChoice::kEpoll)})
    ->Args({1, static_cast<int>(BackendChoice::kEpoll)})
    ->Args({0, static_cast<int>(BackendChoice::kUring)})
    ->Args({1, static_cast<int>(BackendChoice::kUring)})
    ->ArgNames({"tls", "backend"})
    ->UseRealTime();

}  // namespace
}  // namespace volley::io
