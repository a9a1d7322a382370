#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0-or-later
# What Perl programs do: regular expressions, hashes, sorting, strings, numbers.
# interpreted.pl SECONDS prints 'rate: N' (turns a second of the monotonic clock); a wrong result ends it with an error.
use strict;
use warnings;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

sub records {
	my $text = join "\n", map { sprintf 'id=%d name="user%d" size=%d', $_, $_ * 7 % 31, $_ * $_ % 1009 } 1 .. 300;
	my (%size, $count);
	while ($text =~ /^id=(\d+) name="([a-z]+\d+)" size=(\d+)$/mg) {
		$size{$2} += $3;
		$count++;
	}
	my @order = sort { $size{$b} <=> $size{$a} || $a cmp $b } keys %size;
	return "$count:$order[0]:$size{$order[0]}";
}

sub words {
	my %seen;
	my $text = lc join ' ', map { 'The Quick' . ($_ % 17) . ' brown' . ($_ * $_ % 23) . ' Fox' } 1 .. 200;
	$text =~ s/quick(\d+)/'q' . ($1 + 1)/ge;
	$text =~ tr/aeiou/AEIOU/;
	$seen{$_}++ for split ' ', $text;
	return join ',', map { "$_=$seen{$_}" } (sort keys %seen)[0 .. 3];
}

sub fibonacci {
	my $n = shift;
	return $n < 2 ? $n : fibonacci($n - 1) + fibonacci($n - 2);
}

sub numbers {
	my @values = map { ($_ * 7919) % 1000 } 1 .. 500;
	my $sum = 0;
	$sum += $_ * 1.5 for grep { $_ % 3 } sort { $a <=> $b } @values;
	return sprintf '%.1f/%d', $sum, fibonacci(12);
}

my $expected = '300:user22:7114 brOwn0=8,brOwn1=17,brOwn12=18,brOwn13=17 253639.5/144';
my ($turns, $passed, $start) = (0, 0, clock_gettime(CLOCK_MONOTONIC));
while ($passed < $ARGV[0]) {
	my $result = join ' ', records(), words(), numbers();
	die "got '$result', not '$expected'" if $result ne $expected;
	$turns++;
	$passed = clock_gettime(CLOCK_MONOTONIC) - $start;
}
printf "rate: %.2f\n", $turns / $passed;
