#!/bin/sh
# Starts MLflow's server. It takes a database only as a URI: the password goes into the environment,
# where libpq finds it, and neither into the URI nor into the arguments, which others could read.
set -eu
file=${MLFLOW_DATABASE_PASSWORD_FILE:?names the file with the password}
if ! [ -s "$file" ]; then
    echo "MLFLOW_DATABASE_PASSWORD_FILE: $file is missing or empty" >&2
    exit 2
fi
PGPASSWORD=$(cat "$file")
export PGPASSWORD
exec mlflow server "$@"
