# Verifies every signature of every *.eml in a folder with Mail::DKIM: FOLDER RECORDS.json -> JSON.
use strict;
use warnings;
use JSON::PP;
use Mail::DKIM::Verifier;
use Mail::DKIM::PublicKey;

my ($folder, $records_path) = @ARGV;
open my $in, '<', $records_path or die $!;
my $records = decode_json(join '', <$in>);
close $in;

# The keys come from the file, not from the DNS.
no warnings 'redefine';
*Mail::DKIM::PublicKey::fetch = sub {
  my ($class, %prms) = @_;
  my $record = $records->{"$prms{Selector}._domainkey.$prms{Domain}"};
  return undef unless defined $record;
  my $key = $class->parse($record);
  $key->{Selector} = $prms{Selector};
  $key->{Domain} = $prms{Domain};
  $key->check;
  return $key;
};
*Mail::DKIM::PublicKey::fetch_async = sub {
  my ($class, %prms) = @_;
  my $key = eval { $class->fetch(%prms) };
  my $error = $@;
  return sub {
    return $prms{Callbacks}{Error}->($error) if $error && $prms{Callbacks}{Error};
    return $prms{Callbacks}{Success}->($key) if $prms{Callbacks}{Success};
    return $key;
  };
};

my %results;
for my $path (sort glob "$folder/*.eml") {
  my $verifier = Mail::DKIM::Verifier->new;
  open my $mail, '<:raw', $path or die $!;
  while (<$mail>) { $verifier->PRINT($_) }
  close $mail;
  $verifier->CLOSE;
  my ($name) = $path =~ m{([^/]+)$};
  $results{$name} = [map { {
    domain => $_->domain, selector => $_->selector, algorithm => $_->algorithm,
    result => $_->result, why => $_->result_detail, signed => [map { lc } $_->headerlist],
  } } $verifier->signatures];
}
print encode_json(\%results);
