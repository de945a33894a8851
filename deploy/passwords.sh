#!/bin/sh
# Chooses the passwords of the service, one file each; those that are there already stay.
#
#     sh deploy/passwords.sh [FOLDER]         default: secrets
#
# The folder keeps other users of this machine out. The files themselves may be read by all: in the
# containers they keep owner and mode, and the service is another user there than here.
set -eu
folder=${1:-secrets}
umask 077
mkdir -p "$folder"
for name in postgres_password tunelab_database_password mlflow_database_password; do
    file=$folder/$name
    if [ -s "$file" ]; then
        continue
    fi
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file"
    chmod 444 "$file"
    echo "chosen: $file"
done
