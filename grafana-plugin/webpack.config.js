// The AMD module that Grafana loads. What Grafana provides stays outside; see `externals`.
const CopyPlugin = require('copy-webpack-plugin');
const fs = require('fs');
const path = require('path');
const { name } = require('./package.json');

// One version for all rooms.
const [, version] = fs.readFileSync(path.join(__dirname, '../Cargo.toml'), 'utf8').match(/^version = "(.+)"$/m);
// A package says when its sources were changed last, so that the same sources give the same package.
const { SOURCE_DATE_EPOCH } = process.env;
const today = new Date(SOURCE_DATE_EPOCH ? SOURCE_DATE_EPOCH * 1000 : Date.now()).toISOString().slice(0, 10);
const fill = (content) => content.toString().replace('%VERSION%', version).replace('%TODAY%', today);
const PROVIDED = [
  'react', 'react-dom', 'react/jsx-runtime', 'react/jsx-dev-runtime', 'rxjs', 'rxjs/operators', 'lodash', '@emotion/css', 'i18next',
  '@grafana/data', '@grafana/ui', '@grafana/runtime',
];

module.exports = {
  context: path.join(__dirname, 'src'),
  entry: { module: './module.ts' },
  devtool: 'source-map',
  externals: PROVIDED,
  resolve: { extensions: ['.ts', '.tsx', '.js'] },
  module: {
    rules: [
      {
        test: /\.tsx?$/,
        exclude: /node_modules/,
        use: { loader: 'swc-loader', options: { jsc: { target: 'es2022', parser: { syntax: 'typescript', tsx: true } } } },
      },
    ],
  },
  output: {
    path: path.join(__dirname, 'dist'),
    clean: { keep: /gpx_/ },
    filename: '[name].js',
    library: { type: 'amd' },
    publicPath: `public/plugins/${name}/`,
    uniqueName: name,
  },
  performance: { hints: 'error', maxAssetSize: 300_000, assetFilter: (file) => file.endsWith('.js') },
  plugins: [
    new CopyPlugin({
      patterns: [
        { from: 'plugin.json', transform: fill },
        { from: 'README.md' },
        { from: 'img', to: 'img' },
        { from: '../dashboards', to: 'dashboards', noErrorOnMissing: true },
        { from: '../../LICENSE', to: 'LICENSE', toType: 'file' },
        { from: '../../CHANGELOG.md', to: 'CHANGELOG.md' },
      ],
    }),
  ],
};
