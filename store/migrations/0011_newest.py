import store.models.reports
from django.db import migrations, models

_ROOM = 70
"""Per cent of a page that are filled, so that a state's next row finds room beside it, and no index has to follow."""


def leave_room(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"ALTER TABLE store_state SET (fillfactor = {_ROOM})")


class Migration(migrations.Migration):

    dependencies = [
        ('store', '0010_fleet'),
    ]

    operations = [
        migrations.RunPython(leave_room, migrations.RunPython.noop),
        migrations.RenameField(model_name='state', old_name='values', new_name='newest'),
        migrations.AddField(model_name='state', name='newest_names', field=models.BigIntegerField(null=True)),
        migrations.AddField(model_name='state', name='earlier', field=models.JSONField(default=dict)),
        migrations.RemoveIndex(model_name='state', name='state_last_seen'),
        migrations.RemoveIndex(model_name='state', name='state_group_last_seen'),
        migrations.AddField(
            model_name='state',
            name='seen_minute',
            field=models.GeneratedField(
                db_persist=True,
                expression=store.models.reports.Minute('last_seen'),
                output_field=models.DateTimeField(null=True),
            ),
        ),
        migrations.AddIndex(model_name='state', index=models.Index(fields=['seen_minute', 'device'], name='state_seen')),
        migrations.AddIndex(
            model_name='state', index=models.Index(fields=['group', 'seen_minute', 'device'], name='state_group_seen')
        ),
    ]
