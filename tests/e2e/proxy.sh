# shellcheck shell=bash
# The network between the tool and its mirror: it counts bytes and can stall.

# Starts a proxy on a free port of 127.0.0.1, for http and https. It counts all bytes to the client, with headers, in the
# file `moved`. If a file `stall` exists, the proxy creates a file `stalled` after a megabyte and stops sending.
start_proxy() {
    rm -f "$home/port"
    perl - "$home" "${upstream:-}" << 'END' &
use strict; use warnings; use IO::Socket::INET; use IO::Select;
my ($home, $upstream) = @ARGV;
my $listener = IO::Socket::INET->new(Listen => 16, LocalAddr => "127.0.0.1") or die "listen: $@";
put("port", $listener->sockport);
$SIG{CHLD} = "IGNORE";
while (1) {
    my $client = $listener->accept or next;
    next if fork;
    serve($client);
    exit;
}
sub put { open my $file, ">", "$home/$_[0]" or die; print $file $_[1]; close $file }
sub moved { open my $file, ">>", "$home/moved" or die; syswrite $file, "$_[0]\n"; close $file }
sub serve {
    my ($client) = @_;
    my $head = "";
    while ($head !~ /\r\n\r\n/) { sysread $client, $head, 65536, length $head or return }
    my ($method, $url) = split " ", $head;
    my ($host) = $url =~ m{^(?:http://)?(?:[^/@]*@)?([^/]+)};
    my $server = IO::Socket::INET->new(PeerAddr => $upstream || $host, PeerPort => 80, Timeout => 10) or return;
    if ($method eq "CONNECT" && !$upstream) { syswrite $client, "HTTP/1.1 200 OK\r\n\r\n" } else { syswrite $server, $head }
    my ($select, $sum) = (IO::Select->new($client, $server), 0);
    while (1) {
        for my $from ($select->can_read) {
            my $got = sysread $from, my $bytes, 65536;
            return unless $got;
            if ($from == $server) {
                moved($got);
                $sum += $got;
                if (-e "$home/stall" && $sum > 1e6) { put("stalled", ""); sleep 60 while 1 }
            }
            my ($to, $at) = ($from == $server ? $client : $server, 0);
            while ($at < $got) { my $n = syswrite $to, $bytes, $got - $at, $at or return; $at += $n }
        }
    }
}
END
    proxy_pid=$!
    until [ -s "$home/port" ]; do sleep 0.02; done
    clean=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C)
    clean+=({http,https}_proxy="http://127.0.0.1:$(cat "$home/port")")
}

moved() { awk '{ sum += $1 } END { print sum + 0 }' "$home/moved" 2>/dev/null || echo 0; }
