// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "./interfaces/ISaltChannels.sol";
import {AccountSignature} from "./libraries/AccountSignature.sol";
import {
    assetOf,
    exitDelayOf,
    operatorOf,
    payeeOf,
    payerOf,
    requireClean,
    signerOf
} from "./libraries/ChannelFields.sol";
import {ChannelId} from "./libraries/ChannelId.sol";
import {ChannelState, MOST} from "./libraries/ChannelState.sol";
import {ExactTransfer} from "./libraries/ExactTransfer.sol";
import {PackedClaim, packedClaims} from "./libraries/PackedClaim.sol";
import {RowHashes, newRowHashes} from "./libraries/RowHashes.sol";
import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {ISignatureTransfer} from "permit2/interfaces/ISignatureTransfer.sol";
import {EIP712} from "solady/utils/EIP712.sol";
import {EfficientHashLib} from "solady/utils/EfficientHashLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";

/// @dev The overload of EIP-3009's function that contract wallets need, as USDC has it.
interface IERC3009Wallet {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external;
}

/// @title SaltChannels
/// @notice Unidirectional payment channels in the native coin and in ERC-20. {ISaltChannels} is the documentation.
contract SaltChannels is ISaltChannels, EIP712 {
    using AccountSignature for address;
    using ChannelId for Channel;
    using ChannelId for Claim;
    using ExactTransfer for address;
    using SafeTransferLib for address;

    /// @inheritdoc ISaltChannels
    uint256 public constant MIN_EXIT_DELAY = 15 minutes;

    /// @inheritdoc ISaltChannels
    uint256 public constant MAX_EXIT_DELAY = 30 days;

    /// @inheritdoc ISaltChannels
    bytes32 public constant CHANNEL_TYPEHASH = ChannelId.TYPEHASH;

    /// @inheritdoc ISaltChannels
    bytes32 public constant VOUCHER_TYPEHASH =
        keccak256("Voucher(bytes32 channel,address payee,address asset,uint256 ceiling)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant DEPOSIT_TYPEHASH = keccak256(
        "Deposit(bytes32 channel,address payee,address asset,uint256 amount,uint256 depositBefore,uint256 deadline)"
    );

    /// @inheritdoc ISaltChannels
    bytes32 public constant CLAIM_TOTAL_TYPEHASH = keccak256("ClaimTotal(bytes32 channel,uint256 total)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant CLAIMS_TYPEHASH =
        keccak256("Claims(ClaimTotal[] totals)ClaimTotal(bytes32 channel,uint256 total)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant CLOSE_TYPEHASH =
        keccak256("Close(bytes32 channel,uint256 total,uint256 deposit,uint256 deadline)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant EXIT_TYPEHASH = keccak256("Exit(bytes32 channel,uint256 deposit,uint256 deadline)");

    /// @inheritdoc ISaltChannels
    bytes32 public constant DEPOSIT_WITNESS_TYPEHASH =
        keccak256("DepositWitness(bytes32 channel,uint256 depositBefore)");

    /// @dev How Permit2 is told of the witness; its other type follows in the order of the alphabet.
    string private constant DEPOSIT_WITNESS_TYPE =
        "DepositWitness witness)DepositWitness(bytes32 channel,uint256 depositBefore)TokenPermissions(address token,uint256 amount)";

    /// @dev Permit2 is at one address on every chain.
    ISignatureTransfer private constant PERMIT2 = ISignatureTransfer(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    /// @dev Who must be named by rows that need not name anybody. Nobody calls from there.
    address private constant ANY_OPERATOR = address(0);

    /// @dev How the native coin is named.
    address private constant NATIVE = ExactTransfer.NATIVE;

    /// @inheritdoc ISaltChannels
    /// @dev Unlike the domain of signatures it does not follow a chain that changes its id: the channels that are there
    /// would be lost sight of.
    bytes32 public immutable CHANNEL_DOMAIN_SEPARATOR;

    /// @dev One word. In a struct, its place is hashed once for reading and writing.
    struct StoredState {
        ChannelState state;
    }

    mapping(bytes32 channel => StoredState stored) private states;

    mapping(address account => mapping(address asset => uint256 amount)) private credits;

    /// @inheritdoc ISaltChannels
    mapping(address payee => mapping(address operator => OperatorRight right)) public operatorRight;

    /// @dev 1 while a function runs that moves money. A whole word: a bool would have to be read before it is written.
    uint256 private transient entered;

    modifier nonReentrant() {
        if (entered != 0) revert Reentered();
        entered = 1;
        _;
        entered = 0;
    }

    modifier onlyPayer(address payer) {
        if (msg.sender != payer) revert NotPayer(msg.sender, payer);
        _;
    }

    modifier onlyPayeeOrOperator(Channel calldata channel) {
        if (msg.sender != payeeOf(channel)) requirePayeeOrOperator(payeeOf(channel), operatorOf(channel));
        _;
    }

    modifier onlyPayee(address payee) {
        if (msg.sender != payee) revert NotPayee(msg.sender, payee);
        _;
    }

    constructor() {
        (string memory name, string memory version) = _domainNameAndVersion();
        CHANNEL_DOMAIN_SEPARATOR = ChannelId.newDomain(keccak256(bytes(name)), keccak256(bytes(version)));
    }

    /// @inheritdoc ISaltChannels
    function open(Channel calldata channel, uint256 amount) external payable nonReentrant onlyPayer(payerOf(channel)) {
        recordOpening(channelId(channel), channel, amount);
        takeFromCaller(assetOf(channel), amount);
    }

    /// @inheritdoc ISaltChannels
    function topUp(Channel calldata channel, uint256 amount) external payable nonReentrant onlyPayer(payerOf(channel)) {
        bytes32 id = channelId(channel);
        ChannelState state = openStateOf(id);
        if (state.exitAt() != 0) {
            state = state.withExitAt(0);
            emit ChannelExitCancelled(id, payerOf(channel), payeeOf(channel));
        }
        recordTopUp(id, state, channel, amount);
        takeFromCaller(assetOf(channel), amount);
    }

    /// @inheritdoc ISaltChannels
    function depositFor(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 id = recordDeposit(channel, amount, depositBefore);
        requireInTime(deadline);
        requireDepositSigned(channel, id, amount, depositBefore, deadline, signature);
        takeAllowance(assetOf(channel), payerOf(channel), amount);
    }

    /// @inheritdoc ISaltChannels
    function depositWithPermit(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline,
        bytes calldata signature,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        bytes32 id = recordDeposit(channel, amount, depositBefore);
        requireInTime(deadline);
        if (msg.sender != payerOf(channel)) {
            requireDepositSigned(channel, id, amount, depositBefore, deadline, signature);
        }

        // Whether this gave the allowance, the transfer will tell.
        try IERC20Permit(assetOf(channel)).permit(payerOf(channel), address(this), amount, deadline, v, r, s) {}
            catch {}
        takeAllowance(assetOf(channel), payerOf(channel), amount);
    }

    /// @inheritdoc ISaltChannels
    function depositWithAuthorization(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 validAfter,
        uint256 validBefore,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        bytes32 nonce = authorizationNonce(recordDeposit(channel, amount, depositBefore), depositBefore);

        uint256 balanceBefore = assetOf(channel).balanceOf();
        IERC3009(assetOf(channel))
            .receiveWithAuthorization(payerOf(channel), address(this), amount, validAfter, validBefore, nonce, v, r, s);
        assetOf(channel).requireReceived(amount, balanceBefore);
    }

    /// @inheritdoc ISaltChannels
    function depositWithWalletAuthorization(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 validAfter,
        uint256 validBefore,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 nonce = authorizationNonce(recordDeposit(channel, amount, depositBefore), depositBefore);

        uint256 balanceBefore = assetOf(channel).balanceOf();
        IERC3009Wallet(assetOf(channel))
            .receiveWithAuthorization(
                payerOf(channel), address(this), amount, validAfter, validBefore, nonce, signature
            );
        assetOf(channel).requireReceived(amount, balanceBefore);
    }

    /// @inheritdoc ISaltChannels
    function depositWithPermit2(
        Channel calldata channel,
        uint256 amount,
        uint256 depositBefore,
        uint256 nonce,
        uint256 deadline,
        bytes calldata signature
    ) external nonReentrant {
        bytes32 id = recordDeposit(channel, amount, depositBefore);

        uint256 balanceBefore = assetOf(channel).balanceOf();
        PERMIT2.permitWitnessTransferFrom(
            ISignatureTransfer.PermitTransferFrom({
                permitted: ISignatureTransfer.TokenPermissions({token: assetOf(channel), amount: amount}),
                nonce: nonce,
                deadline: deadline
            }),
            ISignatureTransfer.SignatureTransferDetails({to: address(this), requestedAmount: amount}),
            payerOf(channel),
            keccak256(abi.encode(DEPOSIT_WITNESS_TYPEHASH, id, depositBefore)),
            DEPOSIT_WITNESS_TYPE,
            signature
        );
        assetOf(channel).requireReceived(amount, balanceBefore);
    }

    /// @inheritdoc ISaltChannels
    function claim(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        external
        nonReentrant
        onlyPayeeOrOperator(channel)
        returns (uint256 amount)
    {
        amount = claimChannel(channel, ceiling, total, voucher);
        sendOrCredit(assetOf(channel), payeeOf(channel), amount);
    }

    /// @inheritdoc ISaltChannels
    function claimToCredit(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        external
        nonReentrant
        onlyPayeeOrOperator(channel)
        returns (uint256 amount)
    {
        amount = claimChannel(channel, ceiling, total, voucher);
        credit(assetOf(channel), payeeOf(channel), amount);
    }

    /// @inheritdoc ISaltChannels
    function claimMany(address payee, address asset, Claim[] calldata claims)
        external
        nonReentrant
        returns (uint256 amount)
    {
        amount = claimAll(payee, asset, claims, operatorToBeNamed(payee));
    }

    /// @inheritdoc ISaltChannels
    function claimRows(address payee, address asset, address operator, bytes calldata rows)
        external
        nonReentrant
        returns (uint256 amount)
    {
        requirePayeeOrOperator(payee, operator);

        RowHashes hashes =
            newRowHashes(payee, asset, operator, CHANNEL_DOMAIN_SEPARATOR, VOUCHER_TYPEHASH, _domainSeparator());
        (PackedClaim row, PackedClaim end) = packedClaims(rows);
        for (; PackedClaim.unwrap(row) < PackedClaim.unwrap(end); row = row.next()) {
            // Each of 104 bits, and so many rows as fit into a block.
            unchecked {
                amount += claimRow(hashes, row);
            }
        }
        pay(asset, payee, amount);
    }

    /// @inheritdoc ISaltChannels
    function claimManyFor(address payee, address asset, Claim[] calldata claims, bytes calldata signature)
        external
        nonReentrant
        returns (uint256 amount)
    {
        requireSigned(payee, claimsDigest(payee, asset, claims), signature);
        amount = claimAll(payee, asset, claims, ANY_OPERATOR);
    }

    /// @inheritdoc ISaltChannels
    function close(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        external
        nonReentrant
        onlyPayeeOrOperator(channel)
    {
        bytes32 id = channelId(channel);
        closeChannel(id, openStateOf(id), channel, ceiling, total, voucher);
    }

    /// @inheritdoc ISaltChannels
    function closeFor(
        Channel calldata channel,
        uint256 ceiling,
        uint256 total,
        bytes calldata voucher,
        uint256 deadline,
        bytes calldata signature
    ) external nonReentrant {
        requireInTime(deadline);
        bytes32 id = channelId(channel);
        ChannelState state = openStateOf(id);
        requireSigned(payeeOf(channel), closeDigest(id, total, state.deposit(), deadline), signature);
        closeChannel(id, state, channel, ceiling, total, voucher);
    }

    /// @inheritdoc ISaltChannels
    function closeMany(address payee, address asset, Claim[] calldata claims)
        external
        nonReentrant
        returns (uint256 amount)
    {
        address operator = operatorToBeNamed(payee);
        for (uint256 i = 0; i < claims.length; ++i) {
            requireNames(claims[i], payee, operator);
            amount += closeRow(payee, asset, claims[i]);
        }
        pay(asset, payee, amount);
    }

    /// @inheritdoc ISaltChannels
    function refund(Channel calldata channel, uint256 amount)
        external
        payable
        nonReentrant
        onlyPayee(payeeOf(channel))
    {
        bytes32 id = channelId(channel);
        uint256 claimed = states[id].state.claimed();
        if (amount == 0) revert ZeroAmount();
        if (amount > claimed) revert RefundTooLarge(id, amount, claimed);

        emit ChannelRefunded(id, payerOf(channel), msg.sender, amount);
        takeFromCaller(assetOf(channel), amount);
        pay(assetOf(channel), payerOf(channel), amount);
    }

    /// @inheritdoc ISaltChannels
    function setOperator(address operator, OperatorRight right) external nonReentrant {
        if (operator == address(0) || operator == msg.sender) revert InvalidOperator(operator);
        operatorRight[msg.sender][operator] = right;
        emit OperatorSet(msg.sender, operator, right);
    }

    /// @inheritdoc ISaltChannels
    function requestExit(Channel calldata channel) external nonReentrant onlyPayer(payerOf(channel)) {
        bytes32 id = channelId(channel);
        recordExitRequest(id, channel, openStateOf(id));
    }

    /// @inheritdoc ISaltChannels
    function requestExitFor(Channel calldata channel, uint256 deadline, bytes calldata signature)
        external
        nonReentrant
    {
        requireInTime(deadline);
        bytes32 id = channelId(channel);
        ChannelState state = openStateOf(id);
        requireSigned(payerOf(channel), exitDigest(id, state.deposit(), deadline), signature);
        recordExitRequest(id, channel, state);
    }

    /// @inheritdoc ISaltChannels
    function exit(Channel calldata channel) external nonReentrant {
        pay(assetOf(channel), payerOf(channel), exitChannel(channel));
    }

    /// @inheritdoc ISaltChannels
    function exitToCredit(Channel calldata channel) external nonReentrant onlyPayer(payerOf(channel)) {
        credit(assetOf(channel), msg.sender, exitChannel(channel));
    }

    /// @inheritdoc ISaltChannels
    function exitMany(Channel[] calldata many) external nonReentrant {
        for (uint256 i = 0; i < many.length; ++i) {
            bytes32 id = channelId(many[i]);
            ChannelState state = states[id].state;
            if (!state.isOpen()) {
                emit ChannelSkipped(id, SkipReason.NotOpen);
            } else if (!isDue(state.exitAt())) {
                emit ChannelSkipped(id, SkipReason.ExitNotDue);
            } else {
                (address payer, address asset) = (payerOf(many[i]), assetOf(many[i]));
                pay(asset, payer, recordClose(id, state, payer, payeeOf(many[i])));
            }
        }
    }

    /// @inheritdoc ISaltChannels
    function withdraw(address asset, address to) external nonReentrant {
        withdrawCredit(msg.sender, asset, to);
    }

    /// @inheritdoc ISaltChannels
    function withdrawFor(address account, address asset) external nonReentrant {
        withdrawCredit(account, asset, account);
    }

    /// @inheritdoc ISaltChannels
    function stateOf(bytes32 channel) external view returns (State memory) {
        return states[channel].state.unpack();
    }

    /// @inheritdoc ISaltChannels
    function creditOf(address account, address asset) external view returns (uint256) {
        return credits[account][asset];
    }

    /// @inheritdoc ISaltChannels
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparator();
    }

    /// @inheritdoc ISaltChannels
    function channelId(Channel calldata channel) public view returns (bytes32) {
        return channel.idIn(CHANNEL_DOMAIN_SEPARATOR);
    }

    /// @inheritdoc ISaltChannels
    function voucherDigest(bytes32 channel, address payee, address asset, uint256 ceiling)
        public
        view
        returns (bytes32)
    {
        return _hashTypedData(
            EfficientHashLib.hash(uint256(VOUCHER_TYPEHASH), uint256(channel), uint160(payee), uint160(asset), ceiling)
        );
    }

    /// @inheritdoc ISaltChannels
    function depositDigest(
        bytes32 channel,
        address payee,
        address asset,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline
    ) public view returns (bytes32) {
        return _hashTypedData(
            keccak256(abi.encode(DEPOSIT_TYPEHASH, channel, payee, asset, amount, depositBefore, deadline))
        );
    }

    /// @inheritdoc ISaltChannels
    function claimsDigest(address payee, address asset, Claim[] calldata claims) public view returns (bytes32) {
        bytes32[] memory totals = new bytes32[](claims.length);
        for (uint256 i = 0; i < claims.length; ++i) {
            totals[i] = keccak256(
                abi.encode(
                    CLAIM_TOTAL_TYPEHASH, claims[i].idIn(payee, asset, CHANNEL_DOMAIN_SEPARATOR), claims[i].total
                )
            );
        }
        return _hashTypedData(keccak256(abi.encode(CLAIMS_TYPEHASH, keccak256(abi.encodePacked(totals)))));
    }

    /// @inheritdoc ISaltChannels
    function closeDigest(bytes32 channel, uint256 total, uint256 deposit, uint256 deadline)
        public
        view
        returns (bytes32)
    {
        return _hashTypedData(keccak256(abi.encode(CLOSE_TYPEHASH, channel, total, deposit, deadline)));
    }

    /// @inheritdoc ISaltChannels
    function exitDigest(bytes32 channel, uint256 deposit, uint256 deadline) public view returns (bytes32) {
        return _hashTypedData(keccak256(abi.encode(EXIT_TYPEHASH, channel, deposit, deadline)));
    }

    /// @inheritdoc ISaltChannels
    function authorizationNonce(bytes32 channel, uint256 depositBefore) public pure returns (bytes32) {
        return keccak256(abi.encode(channel, depositBefore));
    }

    /// @dev Records a deposit of tokens that the payer signed for. What it signed may be older than its wish to leave, and
    /// does not cancel that.
    function recordDeposit(Channel calldata channel, uint256 amount, uint256 depositBefore)
        private
        returns (bytes32 id)
    {
        address asset = assetOf(channel);
        if (asset == NATIVE || asset.code.length == 0) revert InvalidAsset(asset);

        id = channelId(channel);
        if (depositBefore == 0) {
            recordOpening(id, channel, amount);
        } else {
            ChannelState state = states[id].state;
            if (state.deposit() != depositBefore) revert DepositOutOfOrder(id, depositBefore, state.deposit());
            requireOpen(id, state);
            requireNoExit(id, state);
            recordTopUp(id, state, channel, amount);
        }
    }

    function recordOpening(bytes32 id, Channel calldata channel, uint256 amount) private {
        requireClean(channel);
        if (ChannelState.unwrap(states[id].state) != 0) revert ChannelUsed(id);

        (address payer, address payee) = (payerOf(channel), payeeOf(channel));
        if (isUnfitPayee(payee, payer)) revert InvalidPayee(payee);
        address operator = operatorOf(channel);
        if (operator == payer) revert InvalidOperator(operator);
        uint32 exitDelay = exitDelayOf(channel);
        unchecked {
            // One below the least is far above the most.
            if (exitDelay - MIN_EXIT_DELAY > MAX_EXIT_DELAY - MIN_EXIT_DELAY) {
                revert InvalidExitDelay(exitDelay, MIN_EXIT_DELAY, MAX_EXIT_DELAY);
            }
        }

        states[id].state = ChannelState.wrap(sum(0, amount));
        emit ChannelOpened(
            id, payer, payee, assetOf(channel), signerOf(channel), operator, exitDelay, channel.salt, amount
        );
    }

    /// @dev Without a jump, as opening costs enough.
    function isUnfitPayee(address payee, address payer) private view returns (bool unfit) {
        assembly ("memory-safe") {
            payee := shl(96, payee)
            unfit := or(or(iszero(payee), eq(payee, shl(96, address()))), eq(payee, shl(96, payer)))
        }
    }

    function recordTopUp(bytes32 id, ChannelState state, Channel calldata channel, uint256 amount) private {
        uint256 deposit = sum(state.deposit(), amount);
        states[id].state = state.withDeposit(deposit);
        emit ChannelToppedUp(id, payerOf(channel), payeeOf(channel), amount, deposit);
    }

    /// @dev The caller stores the new state.
    function recordClaim(bytes32 id, ChannelState state, uint256 amount) private returns (ChannelState next) {
        next = state.withClaim(amount);
        uint256 claimed = next.claimed();
        bytes32 topic = ChannelClaimed.selector;
        // From the scratch space. The most frequent event, and 50 gas less.
        assembly ("memory-safe") {
            mstore(0x00, amount)
            mstore(0x20, claimed)
            log2(0x00, 0x40, topic, id)
        }
    }

    function recordExitRequest(bytes32 id, Channel calldata channel, ChannelState state) private {
        requireNoExit(id, state);

        uint256 exitAt = block.timestamp + exitDelayOf(channel);
        states[id].state = state.withExitAt(exitAt);
        emit ChannelExitRequested(id, payerOf(channel), payeeOf(channel), exitAt);
    }

    function recordClose(bytes32 id, ChannelState state, address payer, address payee) private returns (uint256 rest) {
        uint256 claimed = state.claimed();
        rest = state.deposit() - claimed;
        states[id].state = state.asClosed();
        emit ChannelClosed(id, payer, payee, claimed, rest);
    }

    /// @dev The caller pays or credits the payee.
    function claimChannel(Channel calldata channel, uint256 ceiling, uint256 total, bytes calldata voucher)
        private
        returns (uint256 amount)
    {
        bytes32 id = channelId(channel);
        StoredState storage stored = states[id];
        ChannelState state = stored.state;

        // Nothing is claimable of a channel that is not open either.
        amount = state.claimable(total);
        if (amount == 0) {
            requireOpen(id, state);
            revert NothingToClaim(id, total, state.claimed());
        }
        requireVoucher(id, channel, ceiling, total, voucher);
        stored.state = recordClaim(id, state, amount);
    }

    function claimAll(address payee, address asset, Claim[] calldata claims, address operator)
        private
        returns (uint256 amount)
    {
        for (uint256 i = 0; i < claims.length; ++i) {
            requireNames(claims[i], payee, operator);
            amount += claimRow(payee, asset, claims[i]);
        }
        pay(asset, payee, amount);
    }

    function claimRow(address payee, address asset, Claim calldata row) private returns (uint256 amount) {
        bytes32 id = row.idIn(payee, asset, CHANNEL_DOMAIN_SEPARATOR);
        StoredState storage stored = states[id];
        ChannelState state = stored.state;

        amount = state.claimable(row.total);
        if (amount == 0) return skipUnclaimable(id, state);

        bytes32 digest = voucherDigestWithin(id, payee, asset, row.total, row.ceiling);
        if (!isRowSigned(id, row.payer, row.signer, digest, row.voucher)) return 0;
        stored.state = recordClaim(id, state, amount);
    }

    /// @dev As of an unpacked row. A key's signature, which nearly all are, is looked at here, without a further call.
    function claimRow(RowHashes hashes, PackedClaim row) private returns (uint256 amount) {
        bytes32 id = hashes.idOf(row);
        StoredState storage stored = states[id];
        ChannelState state = stored.state;

        amount = state.claimable(row.total());
        if (amount == 0) return skipUnclaimable(id, state);

        if (row.total() > row.ceiling()) revert AboveCeiling(id, row.total(), row.ceiling());
        bytes32 digest = hashes.digestOf(id, row.ceiling());
        address key = AccountSignature.keyOf(digest, row.voucher());
        if (!row.names(key)) {
            if (!isRowSigned(id, row.payer(), row.signer(), digest, row.voucher())) return 0;
        }
        stored.state = recordClaim(id, state, amount);
    }

    function closeRow(address payee, address asset, Claim calldata row) private returns (uint256 amount) {
        bytes32 id = row.idIn(payee, asset, CHANNEL_DOMAIN_SEPARATOR);
        ChannelState state = states[id].state;
        if (!state.isOpen()) return skipUnclaimable(id, state);

        amount = state.claimable(row.total);
        if (amount != 0) {
            bytes32 digest = voucherDigestWithin(id, payee, asset, row.total, row.ceiling);
            if (!isRowSigned(id, row.payer, row.signer, digest, row.voucher)) return 0;
            state = recordClaim(id, state, amount);
        }
        pay(asset, row.payer, recordClose(id, state, row.payer, payee));
    }

    function skipUnclaimable(bytes32 id, ChannelState state) private returns (uint256) {
        emit ChannelSkipped(id, state.isOpen() ? SkipReason.NothingToClaim : SkipReason.NotOpen);
        return 0;
    }

    /// @dev Whether the voucher of a row is signed. Tells of one that is not, if its signer is an account, whose word can
    /// change after the voucher was taken: a wallet's mind, a delegation. A key's cannot, and who sends such a row errs.
    function isRowSigned(bytes32 id, address payer, address signer, bytes32 digest, bytes calldata voucher)
        private
        returns (bool)
    {
        if (signer != address(0)) {
            if (!signer.isSignedByKey(digest, voucher)) revert InvalidSignature(signer, digest);
            return true;
        }
        if (payer.isSignedBy(digest, voucher)) return true;
        emit ChannelSkipped(id, SkipReason.NotSigned);
        return false;
    }

    function closeChannel(
        bytes32 id,
        ChannelState state,
        Channel calldata channel,
        uint256 ceiling,
        uint256 total,
        bytes calldata voucher
    ) private {
        uint256 amount = state.claimable(total);
        if (amount != 0) {
            requireVoucher(id, channel, ceiling, total, voucher);
            state = recordClaim(id, state, amount);
        }
        uint256 rest = recordClose(id, state, payerOf(channel), payeeOf(channel));

        pay(assetOf(channel), payeeOf(channel), amount);
        pay(assetOf(channel), payerOf(channel), rest);
    }

    /// @dev The caller pays or credits the payer.
    function exitChannel(Channel calldata channel) private returns (uint256 rest) {
        bytes32 id = channelId(channel);
        ChannelState state = openStateOf(id);
        if (!isDue(state.exitAt())) revert ExitNotDue(id, state.exitAt(), block.timestamp);
        rest = recordClose(id, state, payerOf(channel), payeeOf(channel));
    }

    /// @dev Takes the value of the call, or tokens from the caller's allowance.
    function takeFromCaller(address asset, uint256 amount) private {
        if (asset == NATIVE) {
            if (msg.value != amount) revert InexactValue(msg.value, amount);
        } else {
            if (msg.value != 0) revert InexactValue(msg.value, 0);
            takeAllowance(asset, msg.sender, amount);
        }
    }

    /// @dev Whoever calls this has made sure that the payer agrees.
    // slither-disable-next-line arbitrary-send-erc20
    function takeAllowance(address asset, address payer, uint256 amount) private {
        uint256 balanceBefore = asset.balanceOf();
        if (!asset.trySafeTransferFrom(payer, address(this), amount)) revert TransferRefused(asset, payer, amount);
        asset.requireReceived(amount, balanceBefore);
    }

    /// @dev Sends what there is, or credits what cannot be sent.
    function pay(address asset, address to, uint256 amount) private {
        if (amount != 0) sendOrCredit(asset, to, amount);
    }

    function sendOrCredit(address asset, address to, uint256 amount) private {
        if (!asset.trySend(to, amount)) credit(asset, to, amount);
    }

    function credit(address asset, address to, uint256 amount) private {
        if (amount == 0) return;
        credits[to][asset] += amount;
        emit Credited(to, asset, amount);
    }

    function withdrawCredit(address account, address asset, address to) private {
        uint256 amount = credits[account][asset];
        if (amount == 0) revert NoCredit(account, asset);

        delete credits[account][asset];
        emit CreditWithdrawn(account, asset, to, amount);

        if (to == address(0) || to == address(this) || !asset.trySendMeasured(to, amount)) {
            revert WithdrawalRefused(asset, to, amount);
        }
    }

    function requireDepositSigned(
        Channel calldata channel,
        bytes32 id,
        uint256 amount,
        uint256 depositBefore,
        uint256 deadline,
        bytes calldata signature
    ) private view {
        bytes32 digest = depositDigest(id, payeeOf(channel), assetOf(channel), amount, depositBefore, deadline);
        requireSigned(payerOf(channel), digest, signature);
    }

    function requireVoucher(
        bytes32 id,
        Channel calldata channel,
        uint256 ceiling,
        uint256 total,
        bytes calldata voucher
    ) private view {
        address signer = signerOf(channel);
        bytes32 digest = voucherDigestWithin(id, payeeOf(channel), assetOf(channel), total, ceiling);
        if (signer == address(0)) requireSigned(payerOf(channel), digest, voucher);
        else if (!signer.isSignedByKey(digest, voucher)) revert InvalidSignature(signer, digest);
    }

    function requireSigned(address account, bytes32 digest, bytes calldata signature) private view {
        if (!account.isSignedBy(digest, signature)) revert InvalidSignature(account, digest);
    }

    function voucherDigestWithin(bytes32 id, address payee, address asset, uint256 total, uint256 ceiling)
        private
        view
        returns (bytes32)
    {
        if (total > ceiling) revert AboveCeiling(id, total, ceiling);
        return voucherDigest(id, payee, asset, ceiling);
    }

    /// @dev A block producer can move the time by seconds, and what was signed is the same either way.
    // forge-lint: disable-next-item(block-timestamp)
    function requireInTime(uint256 deadline) private view {
        if (block.timestamp > deadline) revert SignatureExpired(deadline, block.timestamp);
    }

    /// @dev A block producer can move the time by seconds, and the shortest delay is minutes.
    // forge-lint: disable-next-item(block-timestamp)
    function isDue(uint256 exitAt) private view returns (bool) {
        return exitAt != 0 && block.timestamp >= exitAt;
    }

    /// @dev Whether the caller can claim and close a payee's channels that name `operator`. Zero names nobody, also where a
    /// node runs a call that says nothing of its sender.
    function requirePayeeOrOperator(address payee, address operator) private view {
        if (msg.sender == payee) return;
        OperatorRight right = operatorRight[payee][msg.sender];
        if (right == OperatorRight.All) return;
        if (right == OperatorRight.Named && msg.sender == operator && operator != address(0)) return;
        revert NotPayee(msg.sender, payee);
    }

    /// @dev Whom the rows of many must name for the caller to act on them.
    function operatorToBeNamed(address payee) private view returns (address) {
        if (msg.sender == payee || operatorRight[payee][msg.sender] == OperatorRight.All) return ANY_OPERATOR;
        requirePayeeOrOperator(payee, msg.sender);
        return msg.sender;
    }

    function requireNames(Claim calldata row, address payee, address operator) private view {
        if (operator != ANY_OPERATOR && row.operator != operator) revert NotPayee(msg.sender, payee);
    }

    function openStateOf(bytes32 id) private view returns (ChannelState state) {
        state = states[id].state;
        requireOpen(id, state);
    }

    function requireOpen(bytes32 id, ChannelState state) private pure {
        if (!state.isOpen()) revert ChannelNotOpen(id);
    }

    function requireNoExit(bytes32 id, ChannelState state) private pure {
        if (state.exitAt() != 0) revert ExitPending(id, state.exitAt());
    }

    /// @dev A deposit with more added to it. A deposit is never above MOST.
    function sum(uint256 deposit, uint256 amount) private pure returns (uint256) {
        if (amount == 0) revert ZeroAmount();
        unchecked {
            if (amount > MOST - deposit) revert DepositTooLarge(deposit, amount, MOST);
            return deposit + amount;
        }
    }

    function _domainNameAndVersion() internal pure override returns (string memory, string memory) {
        return ("SaltChannels", "1");
    }
}
