# shellcheck shell=sh
# Managed by Ansible (banking.platform): local changes are overwritten
umask 027
# An idle shell ends after a quarter of an hour.
TMOUT=900
readonly TMOUT
export TMOUT
