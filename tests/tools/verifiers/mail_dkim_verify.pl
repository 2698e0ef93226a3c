# All DKIM signatures of all messages in a folder by Mail::DKIM. See dkim_verifiers.py for what goes in
# and out.
#
# Debian 12's Mail::DKIM (1.20230212) is from before it could do Ed25519. Everything but the last step
# of such a signature is the same as for RSA (RFC 8463: tags, fields, canonical forms, hashes), so with
# CryptX there the verification of the hash is put in, and Mail::DKIM does all the rest as it is.
use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(decode_base64);
use Mail::DKIM::Verifier;

my ( $folder, $records_path ) = @ARGV;

sub slurp {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;
    my $data = <$file>;
    return defined $data ? $data : '';
}

# --- Names without a network ---

my %records = %{ decode_json( slurp($records_path) ) };
%records = map { my $name = lc $_; $name =~ s/\.$//; ( $name => $records{$_} ) } keys %records;

package LocalTxt;
sub type    { return 'TXT' }
sub txtdata { return ( $_[0]->{text} ) }

package main;

{
    no warnings 'redefine';
    *Mail::DKIM::DNS::query = sub {
        my ( $name, $type ) = @_;
        my $text = $records{ lc $name };
        return if !defined $text || $type ne 'TXT';
        return bless { text => $text }, 'LocalTxt';
    };
}

# --- Ed25519 ---

package Ed25519Size;
sub size { return 32 }

package Ed25519Sha256;
our @ISA = ('Mail::DKIM::Algorithm::rsa_sha256');

sub verify {
    my ($self) = @_;
    my $key = Crypt::PK::Ed25519->new;
    $key->import_key_raw( MIME::Base64::decode_base64( $self->signature->get_public_key->data ),
        'public' );
    my $hash = $self->{header_digest}->digest;
    return
      unless $key->verify_message( MIME::Base64::decode_base64( $self->signature->data ), $hash );
    return $self->check_body_hash;
}

package main;

if ( eval { require Crypt::PK::Ed25519; 1 } ) {
    no warnings 'redefine';
    my $class_of = \&Mail::DKIM::Signature::get_algorithm_class;
    *Mail::DKIM::Signature::get_algorithm_class = sub {
        return 'Ed25519Sha256' if defined $_[1] && $_[1] eq 'ed25519-sha256';
        return $class_of->(@_);
    };
    my $hash_of = \&Mail::DKIM::Signature::hash_algorithm;
    *Mail::DKIM::Signature::hash_algorithm = sub {
        return $_[0]->algorithm eq 'ed25519-sha256' ? 'sha256' : $hash_of->(@_);
    };
    # Its own check loads an RSA key. The object in its place is asked for its size (in bytes) only.
    my $check = \&Mail::DKIM::PublicKey::check;
    *Mail::DKIM::PublicKey::check = sub {
        my ($self) = @_;
        return $check->(@_) if ( $self->get_tag('k') || 'rsa' ) ne 'ed25519';
        die "not 32 bytes\n" if length( decode_base64( $self->data || '' ) ) != 32;
        $self->cork( bless {}, 'Ed25519Size' );
        return 1;
    };
}

# --- Verification ---

sub result_of {
    my ($signature) = @_;
    my $result = $signature->result;
    return {
        domain    => $signature->domain,
        selector  => $signature->selector,
        algorithm => $signature->algorithm,
        result    => $result,
        why       => $result eq 'pass' ? '' : $signature->result_detail,
        signed    => [ $signature->headerlist ],
    };
}

sub verify {
    my ($path) = @_;
    my $data = slurp($path);
    $data =~ s/\n/\r\n/g if index( $data, "\r\n" ) < 0;
    my $verifier = Mail::DKIM::Verifier->new;
    $verifier->PRINT($data);
    $verifier->CLOSE;
    return map { result_of($_) } $verifier->signatures;
}

opendir my $listing, $folder or die "$folder: $!\n";
for my $name ( sort grep { /\.eml$/ } readdir $listing ) {
    print JSON::PP->new->canonical->encode(
        { message => $name, signatures => [ verify("$folder/$name") ] } ), "\n";
}
