#!/bin/sh
# Ignores SIGTERM, and has a child that is easily forgotten.
trap '' TERM
sleep 1000 &
while :; do wait; done
